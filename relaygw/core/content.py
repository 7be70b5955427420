"""Message content as the layers hand it on: bytes, readable in pieces, never all at once unless small.

The files behind large contents belong to the spool; core sees only this protocol.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol, runtime_checkable

CHUNK = 64 * 1024
"""Octets per piece when content is read from a file."""

MAX_HEADER = 1024 * 1024
"""Octets of header section we look at; a larger one is refused at the end of data."""

MAX_FIELDS = 10_000
"""Fields of a header section; one with more is refused. Reading them one by one takes the time it takes."""


@runtime_checkable
class Content(Protocol):
    """Header section, empty line, body; CRLF line ends, no dot-stuffing."""

    @property
    def size(self) -> int:
        """Octets in all."""
        ...

    @property
    def head(self) -> bytes:
        """The header section with its final CRLF, without the empty line (at most MAX_HEADER octets)."""
        ...

    def chunks(self, start: int = 0) -> Iterator[bytes]:
        """The bytes from offset `start`, in pieces of any size. May read a file: a large one off the reactor thread."""
        ...


def split_head(data: bytes) -> bytes:
    """The header section of `data`: up to and including the CRLF before the empty line; all of it if there is none."""
    if data.startswith(b"\r\n"):
        return b""
    end = data.find(b"\r\n\r\n", 0, MAX_HEADER)
    return data[: end + 2] if end >= 0 else data[:MAX_HEADER]


def read_head(chunks: Iterable[bytes]) -> bytes:
    """The header section of what comes in pieces, of which no more are taken than it needs."""
    found = bytearray()
    for chunk in chunks:
        found += chunk
        if b"\r\n\r\n" in found or len(found) >= MAX_HEADER:
            break
    return split_head(bytes(found))


class BytesContent:
    """Content held in memory. Its head is asked for by many, and found once."""

    __slots__ = ("_head", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._head: bytes | None = None

    @property
    def size(self) -> int:
        return len(self.data)

    @property
    def head(self) -> bytes:
        if self._head is None:
            self._head = split_head(self.data)
        return self._head

    def chunks(self, start: int = 0) -> Iterator[bytes]:
        if len(self.data) - start <= CHUNK:
            yield self.data[start:]
            return
        for position in range(start, len(self.data), CHUNK):  # copying all of it at once would stop the reactor
            yield self.data[position : position + CHUNK]
