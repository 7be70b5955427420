"""An SMTP reply as a value; here, and only here, it becomes wire bytes.

What the peer reads is the text; what the log says is a separate field of the Verdict or event that carries the reply.
"""

import functools

import attrs

_MAX_TEXT = 480
"""Octets of text per line, so that code, enhanced code and CRLF fit in 512 (RFC 5321 4.5.3.1.5)."""


def _one_line(text: str) -> str:
    """Text from anywhere (a plugin, a peer) cannot break out of its line."""
    text = text[:_MAX_TEXT]
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


@attrs.frozen
class Reply:
    """`code` such as 250, `enhanced` such as "2.1.5" or "" where RFC 2034 wants none, `text` one line per "\\n"."""

    code: int
    enhanced: str
    text: str

    @property
    def positive(self) -> bool:
        return self.code < 400

    @property
    def temporary(self) -> bool:
        return 400 <= self.code < 500

    @property
    def permanent(self) -> bool:
        return self.code >= 500

    def __str__(self) -> str:
        text = " ".join(_one_line(line) for line in self.text.split("\n"))
        return " ".join(part for part in (str(self.code), self.enhanced, text) if part)

    def wire(self) -> bytes:
        """All lines, each `code-enhanced text CRLF`, the last with a space (RFC 5321 4.2, RFC 2034 4)."""
        if self.text.isprintable() and len(self.text) <= _MAX_TEXT:  # one line, as nearly all are
            return f"{self.code} {self.enhanced}{' ' if self.enhanced else ''}{self.text}\r\n".encode(
                "utf-8", "replace"
            )
        return _lines(self.code, self.enhanced, self.text)


@functools.lru_cache(maxsize=64)
def _lines(code: int, enhanced: str, text: str) -> bytes:
    """What takes more than one line, such as the answer to EHLO, is the same for nearly everybody."""
    lines = [_one_line(line) for line in text.split("\n")]
    prefix = f"{enhanced} " if enhanced else ""
    last = len(lines) - 1
    return "".join(
        f"{code}{' ' if number == last else '-'}{prefix}{line}\r\n" for number, line in enumerate(lines)
    ).encode("utf-8", "replace")
