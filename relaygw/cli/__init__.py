"""The `relaygw` command; each verb is a module."""
