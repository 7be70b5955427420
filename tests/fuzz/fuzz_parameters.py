"""Any parameters of MAIL and RCPT are an envelope or one CommandError; what they mean can be said to a next hop."""

import attrs

from relaygw.core.address import Address
from relaygw.core.capabilities import parse_capabilities
from relaygw.core.command import CommandError, parse_parameters
from relaygw.core.mail_commands import mail_command, rcpt_command
from relaygw.core.parameters import MAIL, RCPT, begin_envelope, make_recipient
from relaygw.core.reply import Reply

_OFFERED = frozenset({meaning.extension for meaning in (*MAIL.values(), *RCPT.values())} | {"BINARYMIME"})
_NEXT = parse_capabilities(Reply(250, "", "x\nSIZE\nDSN\nSMTPUTF8\n8BITMIME\nCHUNKING\nBINARYMIME\nREQUIRETLS"))
_ADDRESS = Address("user", "example.com")
SEEDS = (
    b" SIZE=100 BODY=BINARYMIME SMTPUTF8",
    b" RET=HDRS ENVID=a+2Bb+3D REQUIRETLS",
    b" AUTH=user+40example.com",
    b" NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;user+2Bx@example.com",
    b" NOTIFY=NEVER ORCPT=utf-8;j\\x{F6}rg@example.com",
    " ORCPT=utf-8;jörg@example.com".encode(),
)


def one_input(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    if not text.isprintable():
        return  # such a line is refused before it is read
    try:
        parameters = parse_parameters(text)
    except CommandError:
        return
    _mail(parameters)
    for utf8 in (False, True):
        try:
            recipient = make_recipient(_ADDRESS, parameters, _OFFERED, utf8=utf8)
        except CommandError:
            continue
        again = rcpt_command(recipient, _NEXT).decode("ascii")
        assert again.count("\r\n") == 1
        read = make_recipient(_ADDRESS, parse_parameters(again.partition(">")[2].rstrip("\r\n")), _OFFERED)
        assert read == (recipient if "ORCPT" in again else attrs.evolve(recipient, orcpt=""))


def _mail(parameters: tuple[tuple[str, str | None], ...]) -> None:
    try:
        envelope = begin_envelope(None, parameters, _OFFERED)
    except CommandError:
        return
    again = mail_command(
        envelope,
        _NEXT,
        size=envelope.size,
        body=envelope.body,
        smtputf8=envelope.smtputf8,
        requiretls=envelope.requiretls,
    ).decode("ascii")
    read = begin_envelope(None, parse_parameters(again.partition(">")[2].rstrip("\r\n")), _OFFERED)
    assert read == envelope
