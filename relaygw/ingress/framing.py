"""Where a command line ends: bytes in, lines out (RFC 5321 2.3.8, 4.5.3.1.4).

Only CRLF ends a line. A bare CR or LF makes the line it stands in a Fault, and so does its length; the rest of such a
line is skipped up to its CRLF and is never read as a command. What comes out depends on the bytes alone, never on how
they were cut into segments.
"""

import enum


class Fault(enum.Enum):
    """Instead of a line; told as soon as it is certain, once per line."""

    BARE = "bare"
    LONG = "long"


class Lines:
    """The bytes received and not yet read. `next` takes lines from the front; in data mode `take` empties it.

    `left` is how many octets wait."""

    __slots__ = ("_at", "_buffer", "_skipping", "left")

    def __init__(self) -> None:
        self._buffer = b""
        self._at = 0
        self._skipping = False
        self.left = 0

    def receive(self, data: bytes) -> None:
        if self._at >= len(self._buffer):
            self._buffer = data
        else:
            self._buffer = self._buffer[self._at :] + data
        self._at = 0
        self.left = len(self._buffer)

    def _pass(self, end: int) -> None:
        """Everything before `end` is read."""
        self._at = end
        self.left = len(self._buffer) - end

    def beginning(self) -> bytes:
        """The first octets of the next line, as far as they are there."""
        return self._buffer[self._at : self._at + 5]

    def take(self) -> bytes:
        """Everything that waits."""
        rest = self._buffer[self._at :] if self._at else self._buffer
        self._buffer, self._at, self.left = b"", 0, 0
        return rest

    def next(self, limit: int) -> bytes | Fault | None:
        """The next line without its CRLF, a Fault in its place, or None until more is received.

        `limit` counts the octets of the line with its CRLF.
        """
        if self._skipping and not self._skip():
            return None
        start = self._at
        end = self._buffer.find(b"\r\n", start, start + limit)
        if end < 0:
            return self._unfinished(limit)
        self._pass(end + 2)
        line = self._buffer[start:end]
        return Fault.BARE if b"\n" in line or b"\r" in line else line

    def _skip(self) -> bool:
        """Drop the rest of a faulty line; whether its end was found."""
        end = self._buffer.find(b"\r\n", self._at)
        if end < 0:
            self._buffer = b"\r" if self._buffer.endswith(b"\r") else b""
            self._pass(0)
            return False
        self._pass(end + 2)
        self._skipping = False
        return True

    def _unfinished(self, limit: int) -> Fault | None:
        """What is certain already of a line whose end is not in reach."""
        pending = self._buffer[self._at : self._at + limit]
        if b"\n" in pending or pending.find(b"\r", 0, len(pending) - 1) >= 0:
            self._skipping = True
            return Fault.BARE
        if len(pending) == limit:
            self._skipping = True
            return Fault.LONG
        return None
