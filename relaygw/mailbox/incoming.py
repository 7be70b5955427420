"""A message on its way in: in memory while small, in an unnamed file of the account's disk beyond a limit."""

import tempfile
from collections.abc import Iterator
from typing import IO

from relaygw.core.content import CHUNK, read_head


class Incoming:
    """Content that grows. `write` is for the reactor thread: it waits for no sync. Nothing is left of it after `close`
    or a crash. Not durable: `Folder.append` makes the durable copy."""

    def __init__(self, directory: str, limit: int = 256 * 1024) -> None:
        """`directory` must be there when the limit is passed."""
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=limit, dir=directory)  # noqa: SIM115  see close
        self._size = 0

    def write(self, data: bytes) -> None:
        """Append; raises OSError when the disk is full or fails."""
        self._file.write(data)
        self._size += len(data)

    @property
    def size(self) -> int:
        return self._size

    @property
    def head(self) -> bytes:
        return read_head(self.chunks())

    def chunks(self, start: int = 0) -> Iterator[bytes]:
        """What was written, from `start`; no more writes, and one walk at a time."""
        self._file.seek(start)
        while data := self._file.read(CHUNK):
            yield data

    def close(self) -> None:
        """Let go of it; harmless twice."""
        self._file.close()
