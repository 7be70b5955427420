"""The files of large contents, one per message, in one directory of the spool.

A file is created without a name anyone else can foresee, written once, synced with its directory before its record is
committed, and unlinked only after the record's removal is committed. Whatever no record names when the spool is opened
is left over from a crash and goes. Directory 0700, files 0600.
"""

import contextlib
import errno
import os
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator
from zlib import crc32

import attrs

from relaygw.core.content import CHUNK, MAX_HEADER, split_head
from relaygw.durable import sync_directory
from relaygw.interfaces import SpoolError
from relaygw.spool.digest import WRONG

_SUFFIX = ".content"
_OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR})
"""What keeps us from reading any file at all."""


@contextlib.contextmanager
def spool_errors(what: str) -> Iterator[None]:
    """Any failure of the operating system becomes a SpoolError that says what could not be done."""
    try:
        yield
    except OSError as error:
        raise SpoolError(f"cannot {what}: {error.strerror or error}") from error


def write_again(path: str) -> None:
    """Make what reading a file shows be on the disk, whatever syncs of it have failed: written octets over themselves,
    for a sync only writes what was written since the last, failed or not. A file that is not there stays so."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        place = 0
        while data := os.pread(descriptor, 1 << 20, place):
            place += os.pwrite(descriptor, data, place)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: str) -> None:
    """The directory, private to us, itself durable; an existing one is made private."""
    if not os.path.isdir(path):
        os.makedirs(path, mode=0o700)
        sync_directory(os.path.dirname(os.path.abspath(path)))
    os.chmod(path, 0o700)


class ContentFiles:
    """The directory of content files. Names are plain file names within it."""

    def __init__(self, directory: str) -> None:
        self.directory = directory

    def path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def create(self) -> tuple[str, int]:
        """A new empty file: its name and a descriptor to write to."""
        name = secrets.token_hex(16) + _SUFFIX
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        return name, os.open(self.path(name), flags, 0o600)

    def link(self, name: str) -> str:
        """A second name for the octets of a file; it needs `sync_names`."""
        second = secrets.token_hex(16) + _SUFFIX
        os.link(self.path(name), self.path(second))
        return second

    def sync(self, names: Iterable[str]) -> None:
        """Make the octets of these files survive power loss; their names need `sync_names`."""
        for name in names:
            descriptor = os.open(self.path(name), os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def sync_names(self) -> None:
        """Make the names of all files made so far survive power loss."""
        sync_directory(self.directory)

    def remove(self, name: str) -> None:
        """Unlink; one that has gone already or cannot go now is left to the next sweep."""
        with contextlib.suppress(OSError):
            os.unlink(self.path(name))

    def sweep(self, wanted: Collection[str]) -> int:
        """Remove every content file that is not wanted; how many went."""
        left = [entry.name for entry in os.scandir(self.directory) if entry.name.endswith(_SUFFIX)]
        orphans = [name for name in left if name not in wanted]
        for name in orphans:
            self.remove(name)
        return len(orphans)


@attrs.frozen(eq=False)
class FileContent:
    """`prefix` followed by the first `file_size` octets of a file. `_head` saves reading it again; None: not yet known.

    Failures to read are SpoolError. Whoever reads all of it learns at its end whether it is what was stored: by `_crc`,
    the digest of the file's octets and then the prefix. `_damaged` is told what is wrong with it, in any thread.
    """

    prefix: bytes
    path: str
    file_size: int
    _head: bytes | None = None
    _crc: int | None = None
    _damaged: Callable[[str], None] | None = None

    @property
    def size(self) -> int:
        return len(self.prefix) + self.file_size

    @property
    def head(self) -> bytes:
        head = read_head(self.path, self.file_size) if self._head is None else self._head
        return self.prefix + head

    def chunks(self, start: int = 0) -> Iterator[bytes]:
        if start < len(self.prefix):
            yield self.prefix[start:]
        crc = None if self._crc is None or start > len(self.prefix) else 0
        with spool_errors("read stored content"), open(self.path, "rb", buffering=0) as file:
            position = file.seek(max(0, start - len(self.prefix)))
            while position < self.file_size:
                data = file.read(min(CHUNK, self.file_size - position))
                if not data:
                    raise self._damage(f"has {position} of {self.file_size} octets")
                position += len(data)
                if crc is not None:
                    crc = crc32(data, crc)
                    if position == self.file_size and crc32(self.prefix, crc) != self._crc:
                        raise self._damage(WRONG)
                yield data

    def _damage(self, trouble: str) -> SpoolError:
        """Before the last octets are out: no next hop gets the end of it."""
        error = f"the content file {os.path.basename(self.path)} {trouble}"
        if self._damaged is not None:
            self._damaged(error)
        return SpoolError(error)


def read_head(path: str, size: int) -> bytes:
    """The header section at the start of a file."""
    with spool_errors("read stored content"), open(path, "rb", buffering=0) as file:
        data = b""
        limit = min(size, MAX_HEADER)
        while len(data) < limit and (more := file.read(min(CHUNK, limit - len(data)))):
            data += more
            if b"\r\n\r\n" in data:
                break
        return split_head(data)


def look(path: str, size: int) -> tuple[str, bytes]:
    """What is wrong with a file that should have so many octets, "" for nothing, and the header section at its start.

    Raises SpoolError where nothing is wrong with the file, but with us.
    """
    try:
        found = os.stat(path).st_size
        return ("", read_head(path, size)) if found >= size else (f"has {found} of {size} octets", b"")
    except FileNotFoundError:
        return "is missing", b""
    except (OSError, SpoolError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        if not isinstance(cause, OSError) or cause.errno in _OURS:
            raise SpoolError(str(error)) from error
        return f"cannot be read: {cause.strerror or cause}", b""
