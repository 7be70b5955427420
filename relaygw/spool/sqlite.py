"""The embedded spool: SQLite with group commit, behind ISpool. This side lives in the reactor's thread.

Layout of the directory: `spool.sqlite` (readable with sqlite3 while running), `content/` (large contents), `lock`.
A large content is synced, with its directory, by a thread of its own before its record goes to the spool's thread
(engine.py), so that nobody small waits for it; files are unlinked there too, after the removal is committed.
"""

import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence, Set
from functools import partial
from typing import Any, TypeVar, cast

from twisted.internet.interfaces import IReactorFromThreads
from zope.interface import implementer

from relaygw.core.content import Content
from relaygw.core.events import Event
from relaygw.core.record import Record
from relaygw.core.selection import Selection
from relaygw.core.trash import Trashed
from relaygw.durable import sync_directory
from relaygw.interfaces import Found, ISink, ISpool, ITrash, Mark, NewMessage, Settlement, SpoolError
from relaygw.spool import adoption, trash
from relaygw.spool.batcher import Batcher, Haste
from relaygw.spool.codec import encode_record
from relaygw.spool.engine import Engine, Hop
from relaygw.spool.entries import Damage, Entry, change_of, make_entry
from relaygw.spool.files import ContentFiles, make_directory, spool_errors
from relaygw.spool.indexing import Measures
from relaygw.spool.jobs import Call, Change, Insert, Job, Remove
from relaygw.spool.lock import Lock
from relaygw.spool.search import search
from relaygw.spool.sink import Sink
from relaygw.spool.store import Store

T = TypeVar("T")

BATCH = 256
"""Jobs per transaction at most."""

CHECKPOINT = 16 * 1024 * 1024
"""Large enough that pages changed again and again are copied once, small enough that nobody waits long."""


def _ignore(event: Event) -> None:
    """What nobody asked to be told."""


def _haste(job: Job) -> Haste:
    """Nobody waits for a message to be removed when it is done, or put off when it is not."""
    return job.haste if isinstance(job, Call) else Haste.NOW if isinstance(job, Insert) else Haste.LATER


def _only_changes(settlement: Settlement) -> bool:
    """Nothing is added, removed or put aside."""
    return not settlement.added and settlement.aside is None and not settlement.record.finished


def _settle_all(store: Store, steps: Sequence[tuple[Settlement, str, tuple[Entry, ...]]]) -> None:
    changes = {each.record.queue_id: change_of(each, text) for each, text, _ in steps if _only_changes(each)}
    store.change(list(changes.values()))
    for settlement, text, added in steps:
        if _only_changes(settlement):
            continue
        if settlement.aside is None:
            store.settle(settlement, text, added)
        else:
            trash.settle(store, settlement, text, added)


def _at_once(function: Callable[..., object], *args: object) -> None:
    function(*args)


@implementer(ISpool, ITrash)
class SqliteSpool:
    """`path` is the spool's directory. `reactor` None: every operation is done at once in the calling thread, for the
    command line. `report` is told of messages that had to be set aside. `checkpoint`: octets of SQLite's log after
    which it is copied into the database, once the batch is answered. `batcher` brings work to a thread, or a test;
    `index` tells how much of the queue is indexed when; `when_dry` is of rounds.py, None: no batch waits for more."""

    def __init__(
        self,
        path: str,
        reactor: IReactorFromThreads | None,
        *,
        inline_limit: int = 256 * 1024,
        report: Callable[[Event], None] = _ignore,
        checkpoint: int = CHECKPOINT,
        batcher: Callable[..., Batcher[Any]] = Batcher,
        index: Measures | None = None,
        when_dry: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        self.path = path
        self._when_dry = when_dry
        self._asked = False
        self._inline_limit = inline_limit
        self._threaded = reactor is not None
        self._open = False
        self._files = ContentFiles(os.path.join(path, "content"))
        self._lock = Lock(os.path.join(path, "lock"))
        hop: Hop = _at_once if reactor is None else reactor.callFromThread
        self._engine = Engine(self._connect, hop, self._discard, report, checkpoint, index)
        self._writer: Batcher[Job] = batcher("spool", self._engine.serve, BATCH, _haste, self._engine)
        self._syncer: Batcher[Job | str] = batcher("spool files", self._sync, BATCH)

    # -- opening and closing --------------------------------------------------------------------------------------

    def open(self) -> None:
        """Take possession: raises SpoolError where another process has it, or it cannot be read or written."""
        try:
            with spool_errors(f"open the spool {self.path}"):
                make_directory(self.path)
                self._lock.acquire()
                make_directory(self._files.directory)
                self._sweep(self._engine.open())
        except SpoolError:
            self._let_go()
            raise
        except sqlite3.Error as error:
            self._let_go()
            raise SpoolError(f"cannot open the spool {self.path}: {error}") from error
        self._open = True
        if self._threaded:
            self._writer.start()
            self._syncer.start()

    def _connect(self) -> Store:
        """SQLite makes its log anew at each opening, and takes no notice when syncing its name fails."""
        store = Store(os.path.join(self.path, "spool.sqlite"), self._files)
        try:
            sync_directory(self.path)
        except BaseException:
            store.close()
            raise
        store.doubt = self._set_aside
        return store

    def _set_aside(self, queue_id: str, error: str) -> None:
        """Whoever reads a content file may find out that it is damaged, in whatever thread; in the spool's own it is
        on its way to whoever asked, and told by him."""
        if self._open and self._threaded:
            job = Call(action=lambda store: store.set_aside(queue_id, error))
            _ = job.answer.addErrback(lambda _: None)  # it is found out again
            self._writer.put(job)

    def _sweep(self, store: Store) -> None:
        """Give back the claims of the last owner, remove files without a message, set aside messages without a file."""
        named = store.named_files()
        self._files.sweep(named.keys() | trash.named_files(store))
        present = set(os.listdir(self._files.directory))
        with store.transaction():
            store.release_all()
            for file, queue_id in named.items():
                if file not in present:
                    store.set_aside(queue_id, f"the content file {file} is missing")
        self._engine.tell_damages(store)

    async def close(self) -> None:
        """Finish what was begun, give all claims back, and let go."""
        if not self._open:
            return
        self._open = False
        if self._threaded:
            self._syncer.stop()
        try:
            await self._submit(Call(action=Store.release_all))
        finally:
            if self._threaded:
                self._writer.stop()
            self._let_go()

    def _let_go(self) -> None:
        self._engine.close()
        self._lock.release()

    # -- changes --------------------------------------------------------------------------------------------------

    def sink(self) -> ISink:
        self._check()
        return Sink(self._files, self._inline_limit)

    async def commit(self, record: Record, sink: ISink, prefix: bytes, lease: float) -> Content:
        if not isinstance(sink, Sink):
            raise SpoolError("the sink is not one of this spool")
        body = sink.take(prefix)
        files = (body.file,) if body.file else ()
        try:
            self._check()
            job = Insert(entry=make_entry(record, body, lease), files=files)
        except BaseException:
            self._discard(files)
            raise
        await self._submit(job)
        return body.content(self._files)

    async def settle(self, settlement: Settlement) -> None:
        self._check()
        record = settlement.record
        if record.finished and not settlement.added and settlement.aside is None:
            await self._submit(Remove(queue_id=record.queue_id))
        elif _only_changes(settlement):
            await self._submit(Change(change=change_of(settlement, encode_record(record))))
        else:
            await self._settle((settlement,), Haste.LATER)

    async def settle_all(self, settlements: Sequence[Settlement]) -> None:
        await self._settle(settlements, Haste.NOW)

    async def _settle(self, settlements: Sequence[Settlement], haste: Haste) -> None:
        self._check()
        steps = [(each, encode_record(each.record), self._entries(each.added)) for each in settlements]
        files = tuple(entry.body.file for _, _, added in steps for entry in added if entry.body.file)
        await self._submit(Call(action=lambda store: _settle_all(store, steps), files=files, haste=haste))

    def _entries(self, added: Sequence[NewMessage]) -> tuple[Entry, ...]:
        entries: list[Entry] = []
        try:
            for new in added:
                sink = Sink(self._files, self._inline_limit)
                sink.write(new.content)
                entries.append(make_entry(new.record, sink.take(b"")))
        except BaseException:
            self._discard([entry.body.file for entry in entries if entry.body.file])
            raise
        return tuple(entries)

    async def claim(self, now: float, lease: float, limit: int, owner: str | None = None) -> tuple[Record, ...]:
        return await self._claim(lambda store: store.claim(now, lease, limit, owner))

    async def look(self, now: float, lease: float, limit: int, mark: Mark, passed: Set[str]) -> Found:
        return await self._claim(lambda store: store.look(now, lease, limit, mark, passed))

    async def take(self, queue_id: str, now: float, lease: float) -> Record | None:
        return await self._claim(lambda store: store.take(queue_id, now, lease))

    async def take_all(self, queue_ids: Sequence[str], now: float, lease: float) -> tuple[Record, ...]:
        wanted = tuple(queue_ids)
        return await self._claim(lambda store: store.take_all(wanted, now, lease))

    async def renew(self, queue_ids: Sequence[str], lease: float) -> None:
        wanted = tuple(queue_ids)
        await self._claim(lambda store: store.renew(wanted, lease))

    async def release(self, queue_id: str) -> None:
        await self._claim(lambda store: store.renew((queue_id,), 0.0))

    # -- questions ------------------------------------------------------------------------------------------------

    async def record(self, queue_id: str) -> Record | None:
        return await self._ask(lambda store: store.record(queue_id))

    async def content(self, queue_id: str) -> Content | None:
        return await self._ask(lambda store: store.content(queue_id))

    async def named(self, queue_ids: Sequence[str]) -> tuple[Record, ...]:
        wanted = tuple(queue_ids)
        return await self._ask(lambda store: store.named(wanted))

    async def contents(self, queue_ids: Sequence[str]) -> Mapping[str, Content]:
        wanted = tuple(queue_ids)
        return await self._ask(lambda store: store.contents(wanted))

    async def search(self, selection: Selection, after: str, limit: int, now: float) -> tuple[tuple[Record, ...], str]:
        return await self._ask(lambda store: search(store, selection, after, limit, now))

    async def records(self, after: str, limit: int) -> tuple[Record, ...]:
        return await self._ask(lambda store: store.records(after, limit))

    async def count(self) -> int:
        return await self._ask(Store.count)

    async def damaged(self) -> tuple[Damage, ...]:
        """The messages that were set aside because what is stored of them cannot be read."""
        return await self._ask(adoption.damaged)

    # -- what operators removed (ITrash) --------------------------------------------------------------------------

    async def trashed(self, after: int, limit: int) -> tuple[tuple[Trashed, ...], int]:
        return await self._call(lambda store: trash.page(store, after, limit))

    async def trashed_of(self, queue_ids: Sequence[str]) -> tuple[Trashed, ...]:
        wanted = tuple(queue_ids)
        return await self._call(lambda store: trash.of(store, wanted))

    async def restore(self, entries: Sequence[int]) -> tuple[Record, ...]:
        wanted = tuple(entries)
        return await self._call(lambda store: trash.restore(store, wanted))

    async def purge(self, entries: Sequence[int]) -> None:
        wanted = tuple(entries)
        await self._call(lambda store: trash.purge(store, wanted))

    async def expire(self, before: float, limit: int) -> tuple[str, ...]:
        return await self._call(lambda store: trash.expire(store, before, limit))

    async def oldest(self) -> float:
        return await self._call(trash.oldest)

    async def trash_count(self) -> int:
        return await self._call(trash.count)

    # -- set-aside messages and archives (desk.py) ------------------------------------------------------------------

    async def adopt(self, record: Record, sink: ISink, archive: str, now: float) -> str:
        """Take in a message of an archive: "", or why not. The sink belongs to the spool then, as in `commit`."""
        assert isinstance(sink, Sink)
        body = sink.take(b"")
        entry = make_entry(record, body)
        files = (body.file,) if body.file else ()
        job = Call(action=lambda store: adoption.adopt(store, entry, archive, now), files=files)
        return cast(str, await self._submit(job))

    async def retry_damaged(self, queue_id: str) -> tuple[Record | None, str]:
        return await self._call(lambda store: adoption.retry(store, queue_id))

    async def reindex(self) -> None:
        """Make the index of the queue anew, when there is time."""
        await self._call(lambda store: store.index.forget())

    async def remove_damaged(self, queue_id: str) -> bool:
        return await self._call(lambda store: adoption.remove(store, queue_id))

    # -- the way to the threads -----------------------------------------------------------------------------------

    def _check(self) -> None:
        if not self._open:
            raise SpoolError("the spool is closed")

    async def _call(self, action: Callable[[Store], T]) -> T:
        self._check()
        return cast(T, await self._submit(Call(action=action)))

    async def _claim(self, action: Callable[[Store], T]) -> T:
        """What changes claims: all of them end when the spool is opened, and none is worth a sync."""
        return await self._ask(action)

    async def _ask(self, action: Callable[[Store], T]) -> T:
        """What only reads."""
        self._check()
        return cast(T, await self._submit(Call(action=action, haste=Haste.ASIDE)))

    async def _submit(self, job: Job) -> object:
        if not self._threaded:
            (self._sync if job.files else self._engine.serve)([job])
        elif job.files:
            self._syncer.put(job)
        elif self._when_dry is not None and isinstance(job, Insert):
            self._writer.put(job, more=True)
            self._ask_when_dry()
        else:
            self._writer.put(job)
        return await job.answer

    def _ask_when_dry(self) -> None:
        """Once for all who wait for it."""
        if self._when_dry is not None and not self._asked:
            self._asked = True
            self._when_dry(self._run_dry)

    def _run_dry(self) -> None:
        self._asked = False
        self._writer.no_more()

    def _sync(self, batch: Sequence[Job | str]) -> None:
        """In the thread of the files: sync those of the jobs and hand the jobs on; unlink those that are only named."""
        jobs = [item for item in batch if isinstance(item, Job)]
        ready = [job for job in jobs if self._try([job], partial(self._files.sync, job.files))]
        if ready and self._try(ready, self._files.sync_names):
            for job in ready:
                if self._threaded:
                    self._writer.put(job)
                else:
                    self._engine.serve([job])
        for item in batch:
            if isinstance(item, str):
                self._files.remove(item)

    def _try(self, jobs: Sequence[Job], sync: Callable[[], None]) -> bool:
        """Sync; where that fails the jobs have failed, and their files are never synced again but removed."""
        try:
            sync()
        except OSError as error:
            self._engine.fail(jobs, SpoolError(f"cannot sync content: {error.strerror or error}"))
            return False
        return True

    def _discard(self, files: Sequence[str]) -> None:
        """Unlink content files, where that delays nobody."""
        for file in files:
            if self._threaded and self._open:
                self._syncer.put(file)
            else:
                self._files.remove(file)
