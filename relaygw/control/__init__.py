"""The operator's socket: HTTP and JSON, metrics, and the console page."""
