"""IMAP4rev1 (RFC 3501) over the mail store.

    lines       bytes → complete commands (line and literals), bounded; knows no command but APPEND
    tokens      a cursor over one command: atoms, strings, numbers, lists
    parser      one command → one frozen value of `commands`, or BadCommand
    server      one connection: strictly one command at a time, answers in order
    selected    what this session believes about its mailbox: sequence numbers, news not yet told
    fetch, search, structure, envelope, render: what answers are made of

The modules down to `render` are pure: bytes and values in, bytes and values out.
"""
