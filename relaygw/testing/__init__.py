"""Public fakes and conformance suites for plugin writers; they pass the same suites as the real parts."""
