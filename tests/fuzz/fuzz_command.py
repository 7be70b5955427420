"""Any line is a command or one CommandError, and so is the argument of each command that has a grammar."""

import contextlib

from relaygw.core.address import Address
from relaygw.core.command import (
    CommandError,
    parse_chunk,
    parse_command,
    parse_hello,
    parse_mail,
    parse_rcpt,
    parse_verify,
)

_POSTMASTER = Address("postmaster", "here.test")
_PARSERS = (
    parse_hello,
    parse_mail,
    lambda text: parse_rcpt(text, _POSTMASTER, utf8=True),
    lambda text: parse_rcpt(text, _POSTMASTER),
    parse_chunk,
    parse_verify,
)
SEEDS = (
    b"EHLO client.test",
    b"MAIL FROM:<a@client.test> SIZE=100 BODY=8BITMIME",
    b"MAIL FROM:<\xc3\xbc@b\xc3\xbccher.test> SMTPUTF8",
    b'RCPT TO:<"a \\" b"@[IPv6:2001:db8::1]> NOTIFY=NEVER',
    b"RCPT TO:<@hop.test,@[192.0.2.1]:user@here.test>",
    b"RCPT TO:<Postmaster>",
    b"BDAT 1000 LAST",
    b"VRFY \xc3\xbc SMTPUTF8",
)


def one_input(data: bytes) -> None:
    try:
        command = parse_command(data)
    except CommandError:
        return
    assert command.verb
    assert command.argument.isprintable()
    for parse in _PARSERS:
        with contextlib.suppress(CommandError):
            parse(command.argument)
