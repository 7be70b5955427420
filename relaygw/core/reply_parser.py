"""Bytes from a server become replies (RFC 5321 4.2), or one ReplyError: the conversation cannot go on after it.

Strict and bounded: a line ends with CRLF only, all lines of a reply carry one code, and neither a line nor the
number of lines can grow without end. Knows nothing of commands: what a reply answers is the caller's business.
"""

import re
from functools import lru_cache

from relaygw.core.reply import Reply

MAX_LINE = 2048
"""Octets of one line without CRLF. RFC 5321 4.5.3.1.5 allows 510; real servers put links into their refusals."""

MAX_LINES = 128
"""Lines of one reply. EHLO answers of a few dozen are real; hundreds are an attack."""

MAX_REPLY = 32 * 1024
"""Octets of all lines of one reply together: every recipient of a message may be answered by one."""

_KNOWN = 128
"""Octets of a line at most that is worth remembering."""

_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?: |\Z)")


class ReplyError(Exception):
    """What the server sent is not a reply; the message says what is wrong."""


class ReplyParser:
    """Feed it what arrives; it answers the replies that became complete. After a ReplyError it is of no more use."""

    def __init__(self) -> None:
        self._rest = b""
        self._code = b""
        self._texts: list[bytes] = []
        self._size = 0

    @property
    def partial(self) -> bool:
        """Whether a reply has begun and not ended."""
        return bool(self._rest or self._texts)

    def feed(self, data: bytes) -> list[Reply]:
        """The replies that end within `data`; raises ReplyError."""
        *lines, self._rest = (self._rest + data).split(b"\r\n")
        replies = []
        for line in lines:
            if line[3:4] == b" " and len(line) <= _KNOWN and not self._texts:
                replies.append(_reply_of(line))
            elif self._line(line):
                replies.append(self._finish())
        if self._rest:
            _check(self._rest.removesuffix(b"\r"))  # that CR may be the half of a CRLF on its way
        return replies

    def _line(self, line: bytes) -> bool:
        """Take one line; whether it is the last of its reply."""
        code, separator = _begin(line)
        if self._texts and code != self._code:
            raise ReplyError(f"one reply with the codes {_shown(self._code)} and {_shown(code)}")
        if len(self._texts) == MAX_LINES:
            raise ReplyError(f"a reply of more than {MAX_LINES} lines")
        self._size += len(line)
        if self._size > MAX_REPLY:
            raise ReplyError(f"a reply of more than {MAX_REPLY} octets")
        self._code = code
        self._texts.append(line[4:])
        return separator != b"-"

    def _finish(self) -> Reply:
        texts, self._texts, self._size = self._texts, [], 0
        return make_reply(int(self._code), [text.decode("utf-8", "replace") for text in texts])


def _check(line: bytes) -> None:
    if len(line) > MAX_LINE:
        raise ReplyError(f"a reply line longer than {MAX_LINE} octets")
    if b"\n" in line or b"\r" in line:
        raise ReplyError("a reply line with a bare CR or LF")


def _begin(line: bytes) -> tuple[bytes, bytes]:
    """The code a line begins with, and what separates it from the text."""
    _check(line)
    code, separator = line[:3], line[3:4]
    if not (len(code) == 3 and code.isdigit() and 50 <= code[0] <= 53) or separator not in (b"", b" ", b"-"):
        raise ReplyError(f"not a reply: {_shown(line)}")
    return code, separator


@lru_cache(maxsize=512)
def _reply_of(line: bytes) -> Reply:
    """A reply of one line. Servers say the same few things again and again."""
    code, _ = _begin(line)
    return make_reply(int(code), [line[4:].decode("utf-8", "replace")])


def make_reply(code: int, texts: list[str]) -> Reply:
    """The lines' texts as one Reply; an enhanced code that fits the code leaves the text (RFC 2034 4)."""
    found = _ENHANCED.match(texts[0])
    if found is None or int(found[1][0]) != code // 100:
        return Reply(code, "", "\n".join(texts))
    enhanced = found[1]
    return Reply(code, enhanced, "\n".join(text.removeprefix(enhanced).lstrip(" ") for text in texts))


def _shown(data: bytes) -> str:
    """Some octets for a log line: printable, short."""
    return ascii(data[:60].decode("ascii", "replace").replace("\ufffd", "?"))
