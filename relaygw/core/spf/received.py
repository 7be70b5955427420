"""The Received-SPF field (RFC 7208 9.1): every value from outside is quoted, bounded, and unable to leave its line."""

import re

from relaygw.core.spf.result import Finding, Identity, Result

_DOT_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*\Z")
_MAX_VALUE = 320
"""Octets of one value before quoting: an address fits (RFC 5321 4.5.3.1), a hostile text is cut."""

_SAYS = {
    Result.NONE: "domain of {sender} has no policy for {client}",
    Result.NEUTRAL: "{client} is neither permitted nor denied by domain of {sender}",
    Result.PASS: "domain of {sender} designates {client} as permitted sender",
    Result.FAIL: "domain of {sender} does not designate {client} as permitted sender",
    Result.SOFTFAIL: "domain of {sender} discourages {client} as sender",
    Result.TEMPERROR: "temporary error while checking domain of {sender}",
    Result.PERMERROR: "permanent error while checking domain of {sender}",
}


def received_spf(finding: Finding, receiver: str) -> bytes:
    """The complete field, folded, with CRLF at its end."""
    mail_from = finding.identity is Identity.MAIL_FROM
    said = _SAYS[finding.result].format(sender=finding.sender if mail_from else finding.hello, client=finding.client)
    pairs = {
        "receiver": receiver,
        "identity": finding.identity.value,
        "client-ip": finding.client,
        "envelope-from": finding.sender if mail_from else "",
        "helo": finding.hello,
        "mechanism": finding.mechanism,
        "problem": finding.reason if finding.result in (Result.TEMPERROR, Result.PERMERROR) else "",
    }
    listed = ";\r\n\t".join(f"{key}={_value(value)}" for key, value in pairs.items() if value)
    field = f"Received-SPF: {finding.result.value}\r\n\t({_comment(f'{receiver}: {said}')})\r\n\t{listed}\r\n"
    return field.encode("utf-8", "replace")


def _value(text: str) -> str:
    """A dot-atom where the text is one, otherwise a quoted-string (RFC 5322 3.2.4)."""
    text = _tame(text)
    return text if _DOT_ATOM.match(text) else '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def _comment(text: str) -> str:
    """The content of a comment (RFC 5322 3.2.2)."""
    return re.sub(r"([()\\])", r"\\\1", _tame(text))


def _tame(text: str) -> str:
    if len(text) <= _MAX_VALUE and text.isascii() and text.isprintable():  # nearly always, and much cheaper
        return text
    safe = "".join(character if character.isprintable() else "?" for character in text[:_MAX_VALUE])
    return safe.encode("utf-8", "replace")[:_MAX_VALUE].decode("utf-8", "ignore")
