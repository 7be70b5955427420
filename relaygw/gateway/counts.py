"""The counts of quotas between two lives of the service: read at start, written every few seconds and at stop."""

from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from relaygw.bridge import deferred
from relaygw.core.quota import Ledger
from relaygw.ingress.quotas import WRITE_EVERY, LedgerFile


class Counts:
    """`ledger` is the one all listeners count in."""

    def __init__(self, file: LedgerFile, reactor: Any, pool: ThreadPool) -> None:
        self.ledger = Ledger()
        self._file = file
        self._reactor = reactor
        self._pool = pool
        self._written: list[list[Any]] = []
        self._call: IDelayedCall | None = None
        self._stopped = False

    def start(self) -> None:
        """Go on where the last life ended."""
        self._file.read(self.ledger)
        self._written = self.ledger.dump()
        self._again()

    def _again(self) -> None:
        if not self._stopped:
            self._call = self._reactor.callLater(WRITE_EVERY, self._begin)

    def _begin(self) -> None:
        self._call = None
        _ = self._write()

    @deferred
    async def _write(self) -> None:
        self.ledger.sweep(self._reactor.seconds())
        rows = self.ledger.dump()
        if rows != self._written:
            self._written = rows
            await deferToThreadPool(self._reactor, self._pool, self._file.write, rows)
        self._again()

    def stop(self) -> None:
        """Write the last of it, here and now: the threads may have ended."""
        self._stopped = True
        if self._call is not None and self._call.active():
            self._call.cancel()
        rows = self.ledger.dump()
        if rows != self._written:
            self._file.write(rows)
