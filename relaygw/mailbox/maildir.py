"""Maildir++ on disk: file names, durable writing, listing. Blocking; for threads. Knows nothing of uids or the index.

Format: https://cr.yp.to/proto/maildir.html and Courier's Maildir++. A name is `base` in `new`, `base:2,FLAGS` in `cur`;
the base never changes. Contents are written as they came, with CRLF: mutt and Dovecot read that, and so nothing is
rewritten between the wire and the disk. Files that another program wrote with LF are given out with CRLF.
"""

import os
import secrets
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Set
from io import FileIO

import attrs

from relaygw.core.content import CHUNK, read_head, split_head
from relaygw.durable import sync_directory
from relaygw.mailbox.values import Flag, Flags

NEW, CUR, TMP = "new", "cur", "tmp"
_INFO = ":2,"
_LETTERS = {flag.value: flag for flag in Flag}
_ABANDONED = 36 * 3600.0
"""Seconds after which a file in `tmp` is left over from a crash (the format's own figure)."""

_LISTINGS = 5
"""Listings in a row of a directory that changes while it is read."""

IN_MEMORY = CHUNK
"""Octets up to which a content is read at once."""

Listing = Mapping[str, Set[str]]
"""The names of files by place, "new" and "cur"."""


@attrs.frozen
class Name:
    """A message's file name: `base` for ever, `letters` the flags as written (None in `new`: no info part)."""

    base: str
    letters: str | None = None

    def __str__(self) -> str:
        return self.base if self.letters is None else f"{self.base}{_INFO}{self.letters}"

    @property
    def flags(self) -> Flags:
        return frozenset(_LETTERS[letter] for letter in self.letters or "" if letter in _LETTERS)

    def flagged(self, flags: Flags) -> "Name":
        """With these flags; letters of other programs (Dovecot's keywords, a to z) stay."""
        foreign = {letter for letter in self.letters or "" if letter not in _LETTERS}
        return Name(self.base, "".join(sorted(foreign | {flag.value for flag in flags})))


def parse_name(text: str) -> Name:
    """Any file name is one; an info part of another version is kept as part of the base."""
    base, info, letters = text.partition(_INFO)
    if not info or not letters.isalpha():
        return Name(base, "" if info and not letters else None) if not letters else Name(text)
    return Name(base, letters)


def arrival_order(text: str) -> tuple[int, str]:
    """By the seconds a name begins with, then by name: names that follow no rule come first, in a stable order."""
    seconds = text.partition(".")[0]
    return (int(seconds) if seconds.isascii() and seconds.isdigit() and len(seconds) < 20 else 0, text)


def make_maildir(path: str, *, folder: bool) -> None:
    """Make what is missing of a maildir, private to its owner; the directories themselves survive power loss."""
    made = False
    for name in ("", TMP, NEW, CUR):
        made |= _make_directory(os.path.join(path, name) if name else path)
    if folder:
        os.close(os.open(os.path.join(path, "maildirfolder"), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    if made:
        sync_directory(path)
        sync_directory(os.path.dirname(path))


def _make_directory(path: str) -> bool:
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        return False
    return True


def is_maildir(path: str) -> bool:
    return os.path.isdir(os.path.join(path, CUR))


@attrs.frozen(kw_only=True)
class Measured:
    """`octets` in the file; `size` of what `content` gives: each bare LF counts as CRLF."""

    octets: int
    size: int

    @property
    def wire(self) -> bool:
        """Whether the file's bytes are what goes over the wire."""
        return self.octets == self.size


class Meter:
    """Measures bytes as they pass."""

    def __init__(self) -> None:
        self._octets = 0
        self._bare = 0
        self._after_cr = False

    def add(self, data: bytes) -> None:
        if not data:
            return
        self._octets += len(data)
        line_feeds = data.count(b"\n")
        if line_feeds:
            self._bare += line_feeds - data.count(b"\r\n") - (self._after_cr and data[:1] == b"\n")
        self._after_cr = data[-1:] == b"\r"

    def measured(self) -> Measured:
        return Measured(octets=self._octets, size=self._octets + self._bare)


def measure(path: str) -> Measured:
    """Read a file through to measure it."""
    meter = Meter()
    with open(path, "rb", buffering=0) as file:
        while data := file.read(CHUNK):
            meter.add(data)
    return meter.measured()


@attrs.frozen(kw_only=True)
class Written:
    """A message in `tmp`, synced, not yet visible. `base` is the name it is to have."""

    temporary: str
    base: str
    measured: Measured


def write_message(maildir: str, pieces: Iterable[bytes], date: float | None = None) -> Written:
    """Write and sync a message into `tmp`; nothing is left where this raises. `date` becomes the file's time."""
    unique = unique_base()
    temporary = os.path.join(maildir, TMP, unique)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        meter = Meter()
        with open(descriptor, "wb", buffering=CHUNK) as file:
            for piece in pieces:
                file.write(piece)
                meter.add(piece)
            file.flush()
            if date is not None:
                os.utime(descriptor, (date, date))
            os.fsync(descriptor)
    except BaseException:
        discard(temporary)
        raise
    measured = meter.measured()
    return Written(temporary=temporary, base=f"{unique},S={measured.octets},W={measured.size}", measured=measured)


def publish(written: Written, maildir: str, place: str, name: Name) -> None:
    """Make a written message visible; when this returns, it survives power loss. Where it raises, nothing is left."""
    final = os.path.join(maildir, place, str(name))
    try:
        os.rename(written.temporary, final)
    except BaseException:
        discard(written.temporary)
        raise
    try:
        sync_directory(os.path.join(maildir, place))
    except BaseException:
        # It may or may not survive: whoever gave it to us will do so again, and must not find it twice.
        discard(final)
        raise


def deliver(maildir: str, pieces: Iterable[bytes]) -> None:
    """Write a new message into `new`, durably: whole or not at all, whatever stops us."""
    written = write_message(maildir, pieces)
    publish(written, maildir, NEW, Name(written.base))


def unique_base() -> str:
    """A name nobody else makes: time, microseconds, process and randomness, host."""
    now = time.time()
    host = socket.gethostname().replace("/", "\\057").replace(":", "\\072").replace(",", "_")[:64]
    return f"{int(now)}.M{int(now % 1 * 1_000_000):06d}P{os.getpid()}R{secrets.token_hex(8)}.{host}"


def list_names(path: str) -> set[str]:
    """The file names of `new` or `cur`; hidden ones are not messages. A missing directory has none."""
    try:
        return {name for name in os.listdir(path) if name[0] != "." and (name.isascii() or _is_text(name))}
    except FileNotFoundError:
        return set()


def _is_text(name: str) -> bool:
    """Octets that are no UTF-8 come from the file system as lone surrogates, which no index can hold."""
    return not any(0xD800 <= ord(character) < 0xE000 for character in name)


def stamp(maildir: str) -> tuple[int, int]:
    """The times at which `new` and `cur` changed, in nanoseconds."""
    return (_changed(os.path.join(maildir, NEW)), _changed(os.path.join(maildir, CUR)))


def _changed(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except FileNotFoundError:
        return 0


def list_all(maildir: str) -> tuple[Listing, tuple[int, int] | None]:
    """The names by place, and the stamp they belong to; None where the directories never stood still.

    `new` before `cur`: what moves meanwhile is then seen twice rather than not at all.
    """
    for _ in range(_LISTINGS):
        before = stamp(maildir)
        names = {place: list_names(os.path.join(maildir, place)) for place in (NEW, CUR)}
        if stamp(maildir) == before:
            return names, before
    return names, None


def sweep(maildir: str, now: float) -> None:
    """Remove what crashes left in `tmp` long ago."""
    folder = os.path.join(maildir, TMP)
    for name in list_names(folder):
        path = os.path.join(folder, name)
        try:
            if os.stat(path).st_mtime < now - _ABANDONED:
                os.unlink(path)
        except OSError:
            continue  # another program's business, or already gone


def discard(path: str) -> None:
    """Remove a file if it can be removed: used where an error is on its way already."""
    try:
        os.unlink(path)
    except OSError:
        return


class StoredContent:
    """A stored message as Content: small ones in memory, larger ones by an open file, which outlives renaming and
    expunging. Close it when done; leaving the last reference behind does the same."""

    def __init__(self, file: FileIO, measured: Measured) -> None:
        """Takes over the file. Blocking: reads the header section."""
        self._file = file
        self._measured = measured
        self._data: bytes | None = None
        if measured.octets <= IN_MEMORY:
            self._data = b"".join(self.chunks())
            self.close()
        self.head = split_head(self._data) if self._data is not None else read_head(self.chunks())

    @property
    def size(self) -> int:
        return self._measured.size

    @property
    def in_memory(self) -> bool:
        """Whether `chunks` reads no file."""
        return self._data is not None

    def chunks(self, start: int = 0) -> Iterator[bytes]:
        """Blocking where the message is large. Several walks at a time are fine."""
        if self._data is not None:
            return iter((self._data[start:],))
        if self._measured.wire:
            return _read(self._file.fileno(), start, self._measured.octets)
        return _skip(_with_crlf(_read(self._file.fileno(), 0, self._measured.octets)), start)

    def close(self) -> None:
        self._file.close()


def _read(descriptor: int, start: int, end: int) -> Iterator[bytes]:
    """The file's bytes from start to end; raises OSError when it has become shorter than promised."""
    while start < end:
        data = os.pread(descriptor, min(CHUNK, end - start), start)
        if not data:
            raise OSError("the message's file has become shorter")
        yield data
        start += len(data)


def _with_crlf(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Bare LF becomes CRLF, whatever the borders of the pieces."""
    after_cr = False
    for piece in filter(None, pieces):
        converted = piece.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        if after_cr and piece[:1] == b"\n":
            converted = converted[1:]
        after_cr = piece[-1:] == b"\r"
        yield converted


def _skip(pieces: Iterable[bytes], count: int) -> Iterator[bytes]:
    for piece in pieces:
        if count < len(piece):
            yield piece[count:]
        count = max(0, count - len(piece))
