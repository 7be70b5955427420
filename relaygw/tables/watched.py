"""Files that tables are made of: looked at once a second at most, read again when one of them changes, kept as they
were where the new content cannot be used. At start, a file that cannot be used is refused. Large ones are read again in
a thread, and until then their former entries hold. One that was written to within the last second may be half there, or
empty, and mail must not be refused for that: it is read when it has rested.
"""

import os
import stat
import time
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from twisted.internet.defer import execute
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

T = TypeVar("T")

LOOK_EVERY = 1.0
"""Seconds between two looks at the files' times."""

LARGE = 128 * 1024
"""Octets beyond which reading again would keep the reactor from its work."""

MAX_SIZE = 64 * 1024 * 1024
"""Octets of a file that is read."""

_log = Logger()


class FileError(ValueError):
    """A file cannot be used; the message names it and says why."""


class Watched(Generic[T]):
    """`read()` answers what the files hold and their paths, or raises FileError; the value is `current()`. `reactor` is
    IReactorTime, and IReactorThreads where there are threads; `now` is what the times of files are compared with, those
    of the system's clock."""

    def __init__(
        self, read: Callable[[], tuple[T, Sequence[str]]], reactor: Any, now: Callable[[], int] = time.time_ns
    ) -> None:
        self._read = read
        self._reactor = reactor
        self._now = now
        self._reading = False
        self._value, paths = read()
        self._paths = tuple(paths)
        self._stamps = _stamps(self._paths)
        self._looked = reactor.seconds()
        self.trouble = ""

    def current(self) -> T:
        """What the files hold, or held when they could last be used (`trouble` then says why)."""
        now = self._reactor.seconds()
        if not 0 <= now - self._looked < LOOK_EVERY and not self._reading:
            self._looked = now
            stamps = _stamps(self._paths)
            if stamps != self._stamps and not any(map(self._is_fresh, stamps)):
                self._stamps = stamps
                self._again(sum(stamp[2] for stamp in stamps if stamp is not None))
        return self._value

    def _is_fresh(self, stamp: tuple[int, ...] | None) -> bool:
        """Whether somebody may still be writing it."""
        return stamp is not None and 0 <= self._now() - stamp[0] < LOOK_EVERY * 1e9

    def _again(self, size: int) -> None:
        if size <= LARGE or not hasattr(self._reactor, "getThreadPool"):
            reading = execute(self._read)
        else:
            reading = deferToThreadPool(self._reactor, self._reactor.getThreadPool(), self._read)
        self._reading = True
        _ = reading.addCallbacks(self._use, self._failed)

    def _failed(self, failure: Failure) -> None:
        self._reading = False
        error = failure.value
        self.trouble = str(error) if isinstance(error, FileError) else f"{type(error).__name__}: {error}"
        _log.error("a table cannot be read again, its former entries stay: {error}", error=self.trouble)

    def _use(self, read: tuple[T, Sequence[str]]) -> None:
        self._reading = False
        self._value, paths = read
        self.trouble = ""
        if tuple(paths) != self._paths:
            self._paths = tuple(paths)
            self._stamps = _stamps(self._paths)


def read_text(path: str, owned: bool = False) -> str:
    """A regular file's text; `owned`: nobody but its owner may write it. Raises FileError."""
    try:
        with open(path, "rb", opener=_opener) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise FileError(f"{path}: not a regular file")
            if owned and status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise FileError(f"{path}: others than its owner can write it (mode {status.st_mode & 0o777:o})")
            data = file.read(MAX_SIZE + 1)
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}") from None
    if len(data) > MAX_SIZE:
        raise FileError(f"{path}: larger than {MAX_SIZE} octets")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FileError(f"{path}: not UTF-8 text (octet {error.start})") from None


def _opener(path: str, flags: int) -> int:
    """A pipe must not make us wait for somebody to write to it."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def _stamps(paths: Sequence[str]) -> tuple[tuple[int, ...] | None, ...]:
    return tuple(map(_stamp, paths))


def _stamp(path: str) -> tuple[int, ...] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_ino, status.st_size, status.st_mode)
