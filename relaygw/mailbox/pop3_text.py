"""POP3's text: command lines in, multi-line replies out (RFC 1939 3, RFC 2449 4). Pure.

What comes out depends on the bytes alone, never on where they were cut.
"""

from collections.abc import Iterator

MAX_COMMAND = 2048
"""Octets of a command line with its end: RFC 2449 4 gives 255, long passwords want more."""


class TooLong:
    """In place of a line that passed the limit; its rest is dropped."""


class CommandLines:
    """Bytes received and not yet read. CRLF ends a line; a bare LF does too, since nothing can hide behind it here."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._skipping = False

    def __len__(self) -> int:
        return len(self._buffer)

    def receive(self, data: bytes) -> None:
        self._buffer += data

    def clear(self) -> None:
        self._buffer.clear()

    def next(self, limit: int) -> bytes | TooLong | None:
        """The next line without its end, TooLong in its place, None until more is received.

        `limit` counts the line with its end. Whatever the peer sends, no more than that is kept of a line.
        """
        while True:
            end = self._buffer.find(b"\n", 0, None if self._skipping else limit)
            if end < 0:
                return self._unfinished(limit)
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            if not self._skipping:
                return line.removesuffix(b"\r")
            self._skipping = False

    def _unfinished(self, limit: int) -> TooLong | None:
        if self._skipping:
            self._buffer.clear()
        elif len(self._buffer) >= limit:
            self._skipping = True
            return TooLong()
        return None


class DotStuffer:
    """A message as a multi-line reply: lines that begin with a dot get another (RFC 1939 3). Other octets stay."""

    def __init__(self) -> None:
        self._tail = b"\r\n"

    def feed(self, data: bytes) -> bytes:
        if not data:
            return b""
        # The two octets before tell whether the first dot stands at a line's start.
        joined = self._tail + data
        stuffed = joined.replace(b"\r\n.", b"\r\n..") if b"\r\n." in joined else joined
        stuffed = stuffed[len(self._tail) :]
        self._tail = joined[-2:]
        return stuffed

    def finish(self) -> bytes:
        """The lone dot, after the line end that a message may lack."""
        return b".\r\n" if self._tail == b"\r\n" else b"\r\n.\r\n"


class Top:
    """The header section, the empty line, and `lines` lines of the body (RFC 1939 7). Content has CRLF line ends."""

    def __init__(self, lines: int) -> None:
        self._left = lines
        self._tail: bytes | None = b"\r\n"  # the octets before, while in the header section; None in the body
        self.done = False

    def feed(self, data: bytes) -> bytes:
        """What of these octets belongs to the top; nothing more once `done`."""
        if self._tail is None:
            return self._body(data)
        joined = self._tail + data
        end = joined.find(b"\r\n\r\n")
        if end < 0:
            self._tail = joined[-3:]
            return data
        head = end + 4 - len(self._tail)
        self._tail = None
        return data[:head] + self._body(data[head:])

    def _body(self, data: bytes) -> bytes:
        at = 0
        while self._left:
            end = data.find(b"\n", at)
            if end < 0:
                return data
            at = end + 1
            self._left -= 1
        self.done = True
        return data[:at]


def listing(lines: Iterator[bytes], size: int = 16 * 1024) -> Iterator[bytes]:
    """Lines with their ends, gathered into pieces of about `size` octets, so that a long list is not one write."""
    piece = bytearray()
    for line in lines:
        piece += line
        if len(piece) >= size:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece) + b".\r\n"
