"""Group commit: batches of jobs in, one transaction and one sync each, every job answered. Lives in the spool's thread.

A batch that fails is done again job by job, so that a bad one fails alone. Where a write or a sync failed, nothing of
the batch is claimed to be stored, and the database is opened anew and its log, written again, copied out in full before
anything else is accepted: after a failed sync the kernel forgets which pages never reached the disk, so a second sync
alone proves nothing.
What the failed transaction added may yet turn up in the log then. Messages whose commit was refused are withdrawn; a
settlement is one step of one transaction, so it is either there as a whole, and settling again is harmless, or not.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from twisted.logger import Logger

from relaygw.core.events import Event, SetAside
from relaygw.interfaces import SpoolError
from relaygw.spool.contents import is_corrupt
from relaygw.spool.indexing import Indexer, Measures
from relaygw.spool.jobs import Insert, Job, may_be_lost, perform
from relaygw.spool.store import Store

_log = Logger()

Answer = tuple[Job, object, SpoolError | None]
Hop = Callable[..., None]
"""Calls its first argument with the others in the reactor's thread."""


class Engine:
    """`connect` opens the store; `discard` takes the names of content files that nothing names any more.

    `checkpoint`: octets of log after which it is copied into the database. `measures`: of the index of the queue.
    """

    def __init__(
        self,
        connect: Callable[[], Store],
        hop: Hop,
        discard: Callable[[Sequence[str]], None],
        report: Callable[[Event], None],
        checkpoint: int,
        measures: Measures | None = None,
    ) -> None:
        self._measures = measures
        self._indexer: Indexer | None = None
        self._connect = connect
        self._hop = hop
        self._discard = discard
        self._report = report
        self._limit = checkpoint
        self._store: Store | None = None
        self._withdrawn: list[Insert] = []

    def open(self) -> Store:
        """The open store, nothing in its log and nothing in it that was refused; opened anew where it was let go."""
        if self._store is not None:
            return self._store
        store = self._connect()
        try:
            if not store.checkpoint("TRUNCATE"):
                raise SpoolError("the database's log cannot be copied out: some other program reads it")
            with store.transaction():
                store.remove([job.entry.record.queue_id for job in self._withdrawn])
        except BaseException:
            store.close()
            raise
        store.take_discarded()
        self._discard([file for job in self._withdrawn for file in job.files])
        self._withdrawn.clear()
        self._store = store
        self._indexer = Indexer(store, self._measures)
        return store

    def close(self) -> None:
        """The end: nothing is left in the log."""
        self._let_go(Store.close)

    def _let_go(self, close: Callable[[Store], None]) -> None:
        store, self._store, self._indexer = self._store, None, None
        if store is not None:
            try:
                close(store)
            except sqlite3.Error as error:
                _log.error("the spool was not closed in order: {error}", error=error)

    # What is done while nobody waits (batcher.Chores): the index of the queue.

    def overdue(self) -> bool | None:
        return None if self._indexer is None else self._indexer.overdue()

    def piece(self) -> None:
        store, indexer = self._store, self._indexer
        if store is None or indexer is None:
            return
        try:
            indexer.piece()
        except Exception as error:
            _log.error("the index of the queue cannot be written now: {error}", error=error)
            if _is_disk_failure(error):
                self._distrust()
            return
        self._after(store)

    def serve(self, jobs: Sequence[Job]) -> None:
        """Do a batch; every job is answered, whatever happens."""
        try:
            store = self.open()
        except Exception as error:
            self.fail(jobs, error)
            return
        try:
            with _synced(store, jobs), store.transaction():
                results = perform(store, jobs)
        except Exception as error:
            self._serve_singly(jobs, error)
            return
        self._hop(_fire, [(job, result, None) for job, result in zip(jobs, results, strict=True)])
        self._after(store)

    def _after(self, store: Store) -> None:
        self._discard(store.take_discarded())
        self.tell_damages(store)
        if store.written >= self._limit:
            self._checkpoint(store)

    def _learns(self, error: Exception) -> bool:
        """Whether a page that SQLite cannot read is known now by what stands on it, and that is out of the way."""
        if self._store is None or not isinstance(error, sqlite3.Error) or not is_corrupt(error):
            return False
        try:
            return self._store.set_spoiled_aside()
        except sqlite3.Error as failure:
            _log.error("damaged messages cannot be set aside: {error}", error=failure)
            return False

    def _serve_singly(self, jobs: Sequence[Job], error: Exception) -> None:
        if _is_disk_failure(error):
            self._distrust()
            self._withdrawn += [job for job in jobs if isinstance(job, Insert)]
            self._answer_all(jobs, error)
        elif self._learns(error):
            self.serve(jobs)
        elif len(jobs) > 1:
            for job in jobs:
                self.serve([job])
        else:
            self.fail(jobs, error)

    def fail(self, jobs: Sequence[Job], error: Exception) -> None:
        """Refuse jobs of which nothing was stored."""
        self._discard([file for job in jobs for file in job.files])
        self._answer_all(jobs, error)

    def _answer_all(self, jobs: Sequence[Job], error: Exception) -> None:
        told = error if isinstance(error, SpoolError) else SpoolError(f"the spool failed: {error}")
        self._hop(_fire, [(job, None, told) for job in jobs])

    def _distrust(self) -> None:
        _log.error("the spool's disk failed; the database is opened anew")
        self._let_go(Store.forsake)

    def _checkpoint(self, store: Store) -> None:
        try:
            store.checkpoint()
        except sqlite3.Error as error:
            _log.error("the spool's log cannot be copied into the database: {error}", error=error)
            if _is_disk_failure(error):
                self._distrust()

    def tell_damages(self, store: Store) -> None:
        """Name the messages that were set aside since the last time."""
        for damage in store.take_damages():
            self._hop(self._report, SetAside(queue_id=damage.queue_id, error=damage.error))


def _synced(store: Store, jobs: Sequence[Job]) -> AbstractContextManager[None]:
    """A batch of which nobody minds the loss goes without a sync of its own."""
    return store.unsynced() if all(may_be_lost(job) for job in jobs) else contextlib.nullcontext()


def _is_disk_failure(error: Exception) -> bool:
    """Whether the disk failed under SQLite, so that what it and the kernel hold in memory cannot be trusted. Where a
    file could not be opened for writing, SQLite opens it for reading, and would keep it so."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)


def _fire(answers: Sequence[Answer]) -> None:
    for job, result, error in answers:
        if error is None:
            job.answer.callback(result)
        else:
            job.answer.errback(error)
