"""What follows a 354: the octets of the content, dots unstuffed, up to the one end there is (RFC 5321 4.1.1.4, 4.5.2).
And what follows BDAT: the octets as they are, as many as were announced (RFC 3030 2).

Only CRLF.CRLF ends the data of DATA. Bare CR, bare LF and NUL are noticed, never acted on: the message is refused once
it has ended (servers disagree on what they mean, and mail is smuggled through the disagreement; NUL is no part of 7BIT
or 8BITMIME content, RFC 2045 2.7 and 2.8). Line lengths are not looked at: long lines are real, and harm nobody here.
No work is done per line, and what is held back between two pieces is at most four octets.
"""

import attrs

from relaygw.core.line_ends import has_bare

_END = b"\r\n.\r\n"


@attrs.frozen
class Piece:
    """`content` as far as it is certain; `rest` what follows the end of the data, None as long as that is not there."""

    content: bytes
    rest: bytes | None


class Decoder:
    """One DATA command's octets. `bare` and `nul` tell what was noticed so far."""

    __slots__ = ("_held", "_surplus", "bare", "nul")

    def __init__(self) -> None:
        # The CRLF of the DATA command itself stands before the first octet (RFC 5321 4.1.1.4): a first line that is
        # stuffed, and a message without any line, need no care of their own. It is not part of the content.
        self._held = b"\r\n"
        self._surplus = 2
        self.bare = False
        self.nul = False

    def feed(self, data: bytes) -> Piece:
        """The next octets from the wire. Not to be called after the end."""
        data = self._held + data if self._held else data
        end = _first_end(data)
        if end >= 0:
            self._held = b""
            return Piece(self._content(data[: end + 2]), data[end + 5 :])
        held = _beginning_of_end(data)
        self._held = data[len(data) - held :]
        return Piece(self._content(data[: len(data) - held] if held else data), None)

    def finish(self) -> None:
        """The message is whole: nothing is pending that was not noticed."""

    def _content(self, data: bytes) -> bytes:
        if not data:
            return data
        self.bare = self.bare or has_bare(data)
        self.nul = self.nul or b"\0" in data
        if data.rfind(b"\r\n.") >= 0:
            data = data.replace(b"\r\n.", b"\r\n")
        if self._surplus:
            data, self._surplus = data[2:], 0
        return data


class Chunks:
    """The octets of one message's BDAT commands, which may be cut anywhere. `left` of the one at hand."""

    __slots__ = ("_held", "bare", "left", "nul")

    def __init__(self) -> None:
        self.left = 0
        self.bare = False
        self.nul = False
        self._held = False  # the piece before ended with a CR

    def feed(self, data: bytes) -> Piece:
        """The next octets from the wire; `rest` is what follows the chunk."""
        content = data if len(data) <= self.left else data[: self.left]
        self.left -= len(content)
        self._notice(content)
        return Piece(content, None if self.left else data[len(content) :])

    def finish(self) -> None:
        """The message is whole."""
        self.bare = self.bare or self._held

    def _notice(self, content: bytes) -> None:
        if not content:
            return
        ends = b"\r" + content if self._held else content
        self._held = ends.endswith(b"\r")
        self.bare = self.bare or has_bare(ends[:-1] if self._held else ends)
        self.nul = self.nul or b"\0" in content


def _first_end(data: bytes) -> int:
    """Where the end of the data stands, -1 where it does not. A search from the right takes a fifth of the time of one
    from the left, and there is hardly ever more than one end to be found."""
    last = data.rfind(_END)
    return last if last < 0 or data.rfind(_END, 0, last + 4) < 0 else data.find(_END)


def _beginning_of_end(data: bytes) -> int:
    """How many octets at the end of `data` may be the beginning of the end."""
    for length in (4, 3, 2, 1):
        if data.endswith(_END[:length]):
            return length
    return 0
