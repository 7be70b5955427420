"""The gateway's own load, looked at every few seconds, and sooner where the queue may be full by then: the spool's
disk, the queue, this process.

What is found goes to the Pressure that the listeners ask. The disk is asked in a thread: a dead network filesystem
must not stop the reactor; while it does not answer, what was found before holds.
"""

import os
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from relaygw.bridge import deferred
from relaygw.core.events import Event, TaskFailed
from relaygw.ingress.pressure import Load, Pressure
from relaygw.interfaces import SpoolError

_STATM = "/proc/self/statm"

SOON = 0.1
"""Seconds between two looks at least."""


class LoadWatch:
    """`path` is on the disk that matters; `count` answers how many messages there are."""

    def __init__(
        self,
        *,
        pressure: Pressure,
        path: str,
        count: Callable[[], Awaitable[int]],
        reactor: Any,
        pool: ThreadPool,
        journal: Callable[[Event], None],
    ) -> None:
        self._pressure = pressure
        self._path = path
        self._count = count
        self._reactor = reactor
        self._pool = pool
        self._journal = journal
        self._call: IDelayedCall | None = None
        self._looking: Deferred[None] | None = None
        self._looked = 0.0
        self._stopped = False
        pressure.look_again = self._hurry

    def start(self) -> None:
        """Look now, and from now on; what is found now holds before the first client is let in."""
        self._stopped = False
        self._pressure.look(Load(**_disk(self._path), memory=memory()))
        self._begin()  # with the queue, which only the spool's thread knows

    def _again(self) -> None:
        clock: IReactorTime = self._reactor
        if not self._stopped:
            self._call = clock.callLater(self._pressure.config.interval, self._begin)

    def _hurry(self) -> None:
        """Look as soon as may be, unless that is being done."""
        if self._call is not None:
            passed = self._reactor.seconds() - self._looked
            soon = max(SOON - passed, 0.0) if passed >= 0 else SOON
            if self._call.getTime() > self._reactor.seconds() + soon:
                self._call.reset(soon)

    def _begin(self) -> None:
        self._call = None
        self._looked = self._reactor.seconds()
        self._looking = self._look()

    @deferred
    async def _look(self) -> None:
        try:
            disk = await deferToThreadPool(self._reactor, self._pool, _disk, self._path)
            self._pressure.look(Load(**disk, queue=await self._length(), memory=memory()))
        except Exception as error:
            self._journal(TaskFailed(task="look at the load", error=f"{type(error).__name__}: {error}"))
        self._again()

    async def _length(self) -> int | None:
        try:
            return await self._count()
        except SpoolError as error:
            self._pressure.spool_failed(str(error))
            return None

    def stop(self) -> None:
        """Look no more."""
        self._stopped = True
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None


def _disk(path: str) -> dict[str, int | None]:
    """What an unprivileged process may still use. Filesystems without a count of inodes say 0 of 0."""
    try:
        found = os.statvfs(path)
    except OSError:
        return {"free_space": None, "free_inodes": None}
    return {
        "free_space": found.f_bavail * found.f_frsize,
        "free_inodes": found.f_favail if found.f_files else None,
    }


def memory() -> int | None:
    """The resident set of this process in octets; None where the system does not tell."""
    try:
        with open(_STATM, encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
