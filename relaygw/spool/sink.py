"""Where the content of one arriving message is written: in memory while small, spilled to a file beyond a limit.

Memory per sink is bounded by the limit however small the pieces are that the peer sends. From the call of `commit` on
the sink belongs to the spool; an abort after that touches nothing.
"""

import contextlib
import os
from io import BytesIO
from zlib import crc32

import attrs
from zope.interface import implementer

from relaygw.core.content import BytesContent, Content, split_head
from relaygw.interfaces import ISink, SpoolError
from relaygw.spool.files import ContentFiles, FileContent, spool_errors


@attrs.frozen(kw_only=True)
class Body:
    """Content to be stored: our fields on top, then `data`, or the `size` octets of the content file `file`, whose
    CRC-32 is `crc`."""

    prefix: bytes
    data: bytes
    file: str = ""
    size: int = 0
    head: bytes | None = None
    crc: int = 0

    def content(self, files: ContentFiles | None) -> Content:
        """As it is delivered."""
        if not self.file or files is None:
            return BytesContent(self.prefix + self.data if self.prefix else self.data)
        return FileContent(self.prefix, files.path(self.file), self.size, self.head)


@implementer(ISink)
class Sink:
    """`files` None: everything stays in memory."""

    def __init__(self, files: ContentFiles | None = None, limit: int = 0) -> None:
        self.size = 0
        self._files = files
        self._limit = limit
        self._buffer = BytesIO()
        self._head: bytes | None = None
        self._crc = 0
        self._file = ""
        self._descriptor = -1
        self._closed = ""
        self._content: Content | None = None

    def write(self, data: bytes) -> None:
        """Append; raises SpoolError when the disk is full or fails, and ever after."""
        if self._closed:
            raise SpoolError(f"the content cannot be written: {self._closed}")
        self._content = None
        if self._descriptor < 0 and (self._files is None or self.size + len(data) <= self._limit):
            self._buffer.write(data)
        else:
            self._write_file(data)
        self.size += len(data)

    def _write_file(self, data: bytes) -> None:
        try:
            with spool_errors("write content"):
                if self._descriptor < 0:
                    self._spill()
                _write_all(self._descriptor, data)
                self._crc = crc32(data, self._crc)
        except SpoolError as error:
            self.abort()
            self._closed = str(error)
            raise

    def _spill(self) -> None:
        assert self._files is not None
        self._file, self._descriptor = self._files.create()
        begun = self._buffer.getvalue()
        _write_all(self._descriptor, begun)
        self._crc = crc32(begun)
        if b"\r\n\r\n" in begun:
            self._head = split_head(begun)
        self._buffer = BytesIO()

    def content(self) -> Content:
        """What was written so far: the same value to all who ask, so that its head is found once."""
        if self._content is None:
            self._content = self._body(b"").content(self._files)
        return self._content

    def take(self, prefix: bytes) -> Body:
        """Hand everything over to the spool; raises SpoolError where a write failed or it was taken before."""
        if self._closed:
            raise SpoolError(f"the content cannot be stored: {self._closed}")
        body = self._body(prefix)
        self._close("it belongs to the spool")
        return body

    def _body(self, prefix: bytes) -> Body:
        if self._file:
            return Body(prefix=prefix, data=b"", file=self._file, size=self.size, head=self._head, crc=self._crc)
        return Body(prefix=prefix, data=self._buffer.getvalue(), size=self.size)  # which copies nothing

    def abort(self) -> None:
        """Forget it. Harmless after a commit or a second time."""
        if self._closed:
            return
        if self._file and self._files is not None:
            self._files.remove(self._file)
        self._close("it was given up")

    def _close(self, why: str) -> None:
        self._closed = why
        self._buffer = BytesIO()
        self._content = None
        self._file = ""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = -1


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
