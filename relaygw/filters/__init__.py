"""The chain that asks each phase (connect, hello, mail, rcpt, data) and the filters we ship."""
