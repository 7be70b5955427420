"""Lookups (ITable) and directories (IDirectory): who exists, and how they prove it."""
