"""The Received-SPF field (RFC 7208 9.1): every value from outside is quoted, bounded, and unable to leave its line."""

import re
from functools import lru_cache

from relaygw.core.field_text import MAX_VALUE, tame
from relaygw.core.spf.result import Finding, Identity, Result

_DOT_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*\Z")
_IN_QUOTES = re.compile(r'["\\]')
_IN_COMMENT = re.compile(r"[()\\]")
_ERRORS = (Result.TEMPERROR, Result.PERMERROR)

_SAYS = {
    Result.NONE: "domain of {sender} has no policy for {client}",
    Result.NEUTRAL: "{client} is neither permitted nor denied by domain of {sender}",
    Result.PASS: "domain of {sender} designates {client} as permitted sender",
    Result.FAIL: "domain of {sender} does not designate {client} as permitted sender",
    Result.SOFTFAIL: "domain of {sender} discourages {client} as sender",
    Result.TEMPERROR: "temporary error while checking domain of {sender}",
    Result.PERMERROR: "permanent error while checking domain of {sender}",
}


@lru_cache(maxsize=1024)
def received_spf(finding: Finding, receiver: str) -> bytes:
    """The complete field, folded, with CRLF at its end. A client says the same HELO again and again."""
    mail_from = finding.identity is Identity.MAIL_FROM
    result, client, hello = finding.result, finding.client, finding.hello
    said = _SAYS[result].format(sender=finding.sender if mail_from else hello, client=client)
    lines = [
        f"Received-SPF: {result.value}\r\n\t({_comment(f'{receiver}: {said}')})\r\n\treceiver={_value(receiver)}",
        f"identity={finding.identity.value}",
        f"client-ip={_value(client)}",
    ]
    if mail_from:
        lines.append(f"envelope-from={_value(finding.sender)}")
    if hello:
        lines.append(f"helo={_value(hello)}")
    if finding.mechanism:
        lines.append(f"mechanism={_value(finding.mechanism)}")
    if finding.reason and result in _ERRORS:
        lines.append(f"problem={_value(finding.reason)}")
    return (";\r\n\t".join(lines) + "\r\n").encode("utf-8", "replace")


def _value(text: str) -> str:
    """A dot-atom where the text is one, otherwise a quoted-string (RFC 5322 3.2.4)."""
    if len(text) <= MAX_VALUE and _DOT_ATOM.match(text):
        return text
    text = tame(text)
    if _DOT_ATOM.match(text):
        return text
    return '"' + (_IN_QUOTES.sub(r"\\\g<0>", text) if _IN_QUOTES.search(text) else text) + '"'


def _comment(text: str) -> str:
    """The content of a comment (RFC 5322 3.2.2)."""
    text = tame(text)
    return _IN_COMMENT.sub(r"\\\g<0>", text) if _IN_COMMENT.search(text) else text
