"""Changes asked for by name in the configuration: once, before the commit, or at every attempt by a route."""
