"""What is delivered here: Maildir++ with an index, read back over POP3 and IMAP4."""
