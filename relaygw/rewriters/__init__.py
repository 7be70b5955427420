"""Changes asked for by name in the configuration, made once, before the commit."""
