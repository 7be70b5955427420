"""The configuration: schema (frozen values), and loading from TOML with all errors told at once."""
