"""Content and record, committed before the client reads 250 (ISpool)."""
