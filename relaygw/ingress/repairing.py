"""Line ends for listeners that take a bare LF: what `line_ends` says, for commands and for what follows a 354.

"normalize": a bare LF ends a command line, and inside data it becomes CRLF; but only CRLF.CRLF ends the data, so that
nobody can hide a message in a message. "repair", for fenced legacy devices alone: a line ends with LF, whether CR
stands before it or not, and so do the dots. A bare CR is refused by both. As elsewhere, what comes out depends on the
octets and not on how they were cut, and what is held back is at most four octets.
"""

import re

from relaygw.ingress.decoding import Decoder, Piece
from relaygw.ingress.framing import Fault, Lines

_BARE_LF = re.compile(rb"\n(?<!\r\n)")
_END = re.compile(rb"\n\.\r?\n")
_BEGINNING = re.compile(rb"(?:\r?\n(?:\.\r?)?|\r)\Z")


class Normalizer(Decoder):
    """`repaired`: there was a bare LF. A dot that stands first in a line is taken away, whatever ended the line before,
    as the client put it there (RFC 5321 4.5.2): no line of the content can be read as the end of the data."""

    __slots__ = ("_line_ended", "repaired")

    def __init__(self) -> None:
        super().__init__()
        self.repaired = False
        self._line_ended = False

    def _content(self, data: bytes) -> bytes:
        # A piece never ends with CR (it would be held back), so that a first LF is bare.
        if _BARE_LF.search(data):
            self.repaired = True
            data = _BARE_LF.sub(b"\r\n", data)
        dotted = self._line_ended and data.startswith(b".")
        if data:
            self._line_ended = data.endswith(b"\n")
        return super()._content(data[1:] if dotted else data)


class Repairer(Normalizer):
    """A Normalizer for which every LF.LF ends the data."""

    __slots__ = ()

    def feed(self, data: bytes) -> Piece:
        data = self._held + data if self._held else data
        end = _END.search(data)
        if end is not None:
            self._held = b""
            self.repaired = self.repaired or end[0] != b"\n.\r\n"
            return Piece(self._content(data[: end.start() + 1]), data[end.end() :])
        beginning = _BEGINNING.search(data, max(0, len(data) - 4))
        at = beginning.start() if beginning else len(data)
        self._held = data[at:]
        return Piece(self._content(data[:at]), None)


class LenientLines(Lines):
    """Lines that end with LF, with or without a CR before it; a CR elsewhere is a Fault still."""

    __slots__ = ()

    def next(self, limit: int) -> bytes | Fault | None:
        if self._skipping and not self._skip():
            return None
        start = self._at
        end = self._buffer.find(b"\n", start, start + limit)
        if end < 0:
            return self._unfinished(limit)
        self._pass(end + 1)
        line = self._buffer[start : end - 1 if self._buffer[end - 1 : end] == b"\r" and end > start else end]
        return Fault.BARE if b"\r" in line else line

    def _skip(self) -> bool:
        end = self._buffer.find(b"\n", self._at)
        if end < 0:
            self._buffer = b""
            self._pass(0)
            return False
        self._pass(end + 1)
        self._skipping = False
        return True


def make_decoder(line_ends: str) -> Decoder:
    """For the data of one message."""
    return {"normalize": Normalizer, "repair": Repairer}.get(line_ends, Decoder)()


def make_lines(line_ends: str) -> Lines:
    """For the commands of one session."""
    return Lines() if line_ends == "reject" else LenientLines()
