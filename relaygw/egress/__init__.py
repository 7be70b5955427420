"""Rewrite, sign, choose host and TLS policy, talk; one outcome per recipient."""
