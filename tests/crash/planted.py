"""Planted bugs: the gateway with one part exchanged for one that breaks a promise, and what has to catch it.

A checker that cannot fail proves nothing: each of these must be found by the same simulated power cuts that the sound
gateway passes.
"""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

import attrs
from shim import EVERY, Kind
from simulation import Build
from surroundings import NextHops
from twisted.internet.defer import Deferred

from relaygw.core.content import BytesContent, Content
from relaygw.core.outcome import Outcome
from relaygw.core.record import Record
from relaygw.interfaces import Attempt, ISink, Settlement
from relaygw.spool import schema
from relaygw.spool.codec import decode_record
from relaygw.spool.engine import Engine
from relaygw.spool.files import ContentFiles, FileContent
from relaygw.spool.indexing import Indexer
from relaygw.spool.jobs import Call, Job
from relaygw.spool.sink import Sink
from relaygw.spool.sqlite import SqliteSpool
from relaygw.spool.store import Store
from relaygw.testing.transport import delivered


@attrs.frozen(kw_only=True)
class Bug:
    """`words` say what is wrong, `catch` is a part of one of the complaints that must come up. `cuts`: of each life."""

    name: str
    words: str
    build: Build
    catch: tuple[str, ...]
    cuts: int = 20


class Patched(SqliteSpool):
    """A spool some of whose parts are others."""

    files: type[ContentFiles] = ContentFiles
    store: type[Store] = Store
    engine: type[Engine] = Engine
    pragma = ""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._files.__class__ = self.files
        self._engine.__class__ = self.engine

    def _connect(self) -> Store:
        store = super()._connect()
        store.__class__ = self.store
        if self.pragma:
            store._connection.execute(self.pragma)
        return store


# -- syncs that are left out ------------------------------------------------------------------------------------------


class NoContentSync(Patched):
    class files(ContentFiles):
        def sync(self, names: Iterable[str]) -> None:
            """Trusted to reach the disk some day."""


class NoNameSync(Patched):
    class files(ContentFiles):
        def sync_names(self) -> None:
            """The name will come with the content, will it not?"""


class NoLogSync(Patched):
    pragma = "PRAGMA synchronous = OFF"


class LateLogSync(Patched):
    pragma = "PRAGMA synchronous = NORMAL"


class NoLogName(Patched):
    """As it was until the simulation found it: SQLite does not mind when the name of its log cannot be synced."""

    def _connect(self) -> Store:
        return Store(os.path.join(self.path, "spool.sqlite"), self._files)


class TrustedLog(Patched):
    """As it was until the simulation found it: after a failed sync the log is read back from memory, and believed."""

    def _connect(self) -> Store:
        kept, schema.write_again = schema.write_again, lambda path: None
        try:
            return super()._connect()
        finally:
            schema.write_again = kept


class RowFirst(Patched):
    """The record is committed while its content still waits to be synced."""

    async def _submit(self, job: Job) -> object:
        if self._threaded and job.files:
            self._writer.put(job)
            late = Call(action=lambda store: None, files=job.files)
            late.answer.addErrback(lambda failure: None)
            self._syncer.put(late)
            return await job.answer
        return await super()._submit(job)


class HastyIndex(Patched):
    """Messages count as indexed in the transaction before the one that enters them."""

    class indexer(Indexer):
        def _write(self, draft: Any, mark: str, taken: Sequence[str]) -> Iterator[None]:
            self._execute("UPDATE index_state SET mark = ?", (mark,))
            yield from super()._write(draft, mark, taken)

    class engine(Engine):
        def open(self) -> Store:
            store = super().open()
            assert self._indexer is not None
            self._indexer.__class__ = HastyIndex.indexer
            return store


# -- answers that come too early --------------------------------------------------------------------------------------


class EarlyReply(SqliteSpool):
    """250 while the commit waits for its turn."""

    async def commit(self, record: Record, sink: ISink, prefix: bytes, lease: float) -> Content:
        content = BytesContent(prefix + b"".join(sink.content().chunks(0)))
        Deferred.fromCoroutine(super().commit(record, sink, prefix, lease)).addErrback(lambda failure: None)
        return content


class BelievingBatch(Patched):
    """When a batch fails, all but the first of it are told that all is well."""

    class engine(Engine):
        def _answer_all(self, jobs: Sequence[Job], error: Exception) -> None:
            super()._answer_all(jobs[:1], error)
            self._hop(_accept, jobs[1:])


def _accept(jobs: Sequence[Job]) -> None:
    for job in jobs:
        job.answer.callback(None)


class CarelessSink(Sink):
    """What could not be written is left out."""

    def _write_file(self, data: bytes) -> None:
        try:
            if self._descriptor < 0:
                self._spill()
            os.write(self._descriptor, data)
        except OSError:
            """The disk is full: maybe there is room for the next piece."""


class CarelessSpool(SqliteSpool):
    def sink(self) -> ISink:
        self._check()
        return CarelessSink(self._files, self._inline_limit)


# -- outcomes ---------------------------------------------------------------------------------------------------------


class HastyHops(NextHops):
    """The next hop gets the message, and before it has answered the outcome is known."""

    async def deliver(self, attempt: Attempt) -> tuple[Outcome, ...]:
        talk = self._begin(attempt)
        return tuple(delivered(state.address) for state in talk.attempt.recipients)


class Around:
    """Something between the queue and the spool."""

    def __init__(self, spool: Any) -> None:
        self._spool = spool

    def __getattr__(self, name: str) -> Any:
        return getattr(self._spool, name)


class Forgetful(Around):
    """A message that is done is let go, and its outcome with it."""

    async def settle(self, settlement: Settlement) -> None:
        if settlement.record.finished:
            await self._spool.release(settlement.record.queue_id)
        else:
            await self._spool.settle(settlement)


class ReportLater(Around):
    """First the failure is recorded, then the report is committed."""

    async def settle(self, settlement: Settlement) -> None:
        await self._spool.settle(attrs.evolve(settlement, added=()))
        await _commit_all(self._spool, settlement)


class ReportFirst(Around):
    """First the report is committed, then the failure is recorded."""

    async def settle(self, settlement: Settlement) -> None:
        await _commit_all(self._spool, settlement)
        await self._spool.settle(attrs.evolve(settlement, added=()))


async def _commit_all(spool: Any, settlement: Settlement) -> None:
    for new in settlement.added:
        sink = spool.sink()
        sink.write(new.content)
        await spool.commit(new.record, sink, b"", 0.0)


class RemoveFirst(SqliteSpool):
    """The content goes while the removal still waits for its commit."""

    async def settle(self, settlement: Settlement) -> None:
        if settlement.record.finished:
            for file, queue_id in self._engine.open().named_files().items():
                if queue_id == settlement.record.queue_id:
                    self._files.remove(file)
        await super().settle(settlement)


# -- ownership and damage ---------------------------------------------------------------------------------------------


class LostLease(Around):
    """Claims are never lengthened: whoever looks when they end sends the message once more."""

    async def renew(self, queue_ids: Sequence[str], lease: float) -> None:
        """Three hundred seconds are enough for everybody."""


class LeakyTrash(Patched):
    """What is removed goes into the trash later, if at all."""

    async def settle(self, settlement: Settlement) -> None:
        await super().settle(attrs.evolve(settlement, aside=None))


class Unlocked(SqliteSpool):
    """Two processes may own the spool."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._lock.acquire = lambda: None  # type: ignore[method-assign]


class EagerSweep(Patched):
    class files(ContentFiles):
        def sweep(self, wanted: Collection[str]) -> int:
            """Whatever lies about at a start is left over from a crash."""
            return super().sweep(())


class Intolerant(Patched):
    """A record that cannot be read is an error for whoever asked."""

    class store(Store):
        def _read(self, queue_id: str, raw: bytes) -> Record | None:
            return decode_record(raw.decode("utf-8"))


class Silent(Patched):
    """A damaged message is taken out of everybody's way."""

    class store(Store):
        def set_aside(self, queue_id: str, error: str) -> None:
            self._connection.execute("DELETE FROM message WHERE queue_id = ?", (queue_id,))


class Trusting(Patched):
    """A content file has the length it had."""

    class store(Store):
        def _file_content(self, queue_id: str, prefix: bytes, file: str, size: int, *_: Any) -> Content | None:
            path = self.files.path(file)
            found = os.stat(path).st_size if os.path.exists(path) else 0
            return FileContent(prefix, path, min(size, found))


def _spool(
    make: Callable[..., SqliteSpool],
    *,
    faulty: float = 0.2,
    kinds: tuple[Kind, ...] = (EVERY,),
    times: tuple[int, ...] = (1, 2, 6),
) -> Build:
    return Build(spool=make, faulty=faulty, kinds=kinds, times=times)


def _around(make: Callable[[SqliteSpool], Any], *, shared: float = 0.3) -> Build:
    return Build(around=make, faulty=0.0, shared=shared)


LOST = ("gone", "is damaged", "is not what came in", "forgotten", "cannot be opened")

BUGS = (
    Bug(name="no-content-sync", words="content files are not synced", build=_spool(NoContentSync), catch=LOST),
    Bug(
        name="no-name-sync", words="the directory of content files is not synced", build=_spool(NoNameSync), catch=LOST
    ),
    Bug(name="no-log-sync", words="the database's log is never synced", build=_spool(NoLogSync), catch=LOST),
    Bug(name="late-log-sync", words="the log is synced at checkpoints only", build=_spool(LateLogSync), catch=LOST),
    Bug(
        name="no-log-name",
        words="the log's name is synced by SQLite alone, which ignores failure",
        build=_spool(NoLogName, faulty=1.0, kinds=(Kind.SYNC,), times=(6, 12)),
        catch=LOST,
    ),
    Bug(
        name="trusted-log",
        words="after a failed sync the log is believed as memory shows it",
        build=_spool(TrustedLog, faulty=1.0, kinds=(Kind.SYNC,), times=(2, 2, 3, 4)),
        catch=(*LOST, "malformed", "never served"),
    ),
    Bug(
        name="row-first", words="the row is committed before its content is synced", build=_spool(RowFirst), catch=LOST
    ),
    Bug(name="early-reply", words="250 before the commit", build=_spool(EarlyReply), catch=LOST),
    Bug(
        name="believing-batch",
        words="a batch is acknowledged though one of it failed",
        build=_spool(BelievingBatch, faulty=1.0),
        catch=LOST,
    ),
    Bug(
        name="careless-sink",
        words="a write that fails is passed over",
        build=_spool(CarelessSpool, faulty=1.0, kinds=(Kind.WRITE, Kind.OPEN)),
        catch=LOST,
    ),
    Bug(
        name="hasty-outcome",
        words="the outcome is recorded before the next hop's final reply",
        build=Build(hops=HastyHops),
        catch=("nothing has become of it",),
    ),
    Bug(
        name="forgetful",
        words="the outcome is not recorded",
        build=_around(Forgetful),
        catch=("as it never was", "forgotten", "though its end is recorded"),
    ),
    Bug(
        name="report-later",
        words="the report is committed after the failure",
        build=_around(ReportLater),
        catch=("without its report", "nothing has become of it"),
    ),
    Bug(
        name="report-first",
        words="the report is committed before the failure",
        build=_around(ReportFirst),
        catch=("is not stored, and its report is", "reported twice"),
    ),
    Bug(
        name="remove-first",
        words="the content is removed before the outcome is recorded",
        build=_spool(RemoveFirst),
        catch=(*LOST, "cannot read"),
    ),
    Bug(
        name="leaky-trash",
        words="what an operator removes does not reach the trash",
        build=_spool(LeakyTrash, faulty=0.0),
        catch=("not in the trash",),
    ),
    Bug(
        name="lost-lease",
        words="a claim is lost while the attempt runs, and another queue sends again",
        build=_around(LostLease, shared=1.0),
        catch=("twice at once", "though its end is recorded"),
        cuts=2,
    ),
    Bug(
        name="unlocked",
        words="a second process may own the spool",
        build=_spool(Unlocked),
        catch=("twice at once", "though its end is recorded"),
    ),
    Bug(
        name="hasty-index",
        words="what is indexed counts before it is written",
        build=_spool(HastyIndex),
        catch=("left out of the index",),
    ),
    Bug(name="eager-sweep", words="the sweep of orphans deletes live content", build=_spool(EagerSweep), catch=LOST),
    Bug(
        name="intolerant", words="one damaged record stops all", build=_spool(Intolerant), catch=("stopped everything",)
    ),
    Bug(name="silent", words="a damaged message vanishes without a word", build=_spool(Silent), catch=("not named",)),
    Bug(name="trusting", words="content cut short is delivered", build=_spool(Trusting), catch=("not named",)),
)
