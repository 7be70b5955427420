"""The gateway: all parts in one service, started and stopped in the order a message needs them.

Start: journal, spool, queue, control, then the doors; the ports are bound before privileges are dropped. Stop, the
other way round: no new sessions, those at work end, the queue drains, what is known is recorded.
"""

import contextlib
import os
import signal
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import attrs
from twisted.application import strports
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

from relaygw import __version__
from relaygw.bans import FILE, BanBook, policy_of
from relaygw.bridge import as_deferred, deferred
from relaygw.config.load import ConfigError, load
from relaygw.config.paths import control_socket, history_directory
from relaygw.config.schema import Config
from relaygw.control.collaborators import Collaborators, Reread
from relaygw.control.service import ControlService
from relaygw.core.events import Reloaded, Started, Stopped, TaskFailed
from relaygw.core.question import Answer, Question
from relaygw.gateway.address_desk import AddressDesk, address_parts
from relaygw.gateway.clock import ClockWatch
from relaygw.gateway.doors import Door
from relaygw.gateway.keywatch import KeyWatch
from relaygw.gateway.lasting import (
    make_behind,
    make_counts,
    make_desk,
    make_lasting,
    make_load_watch,
    make_queue,
    make_spool,
)
from relaygw.gateway.notify import notify
from relaygw.gateway.parts import Parts, PartsError, make_parts
from relaygw.gateway.rehearsing import rehearse, signing
from relaygw.gateway.state import own_state
from relaygw.gateway.welcome import tell_reread, welcome
from relaygw.ingress.pressure import Pressure
from relaygw.interfaces import IResolver, SpoolError
from relaygw.journal.journal import Journal
from relaygw.promptly import PromptEndpoint
from relaygw.queue.traffic import traffic_of
from relaygw.spool.sqlite import SqliteSpool
from relaygw.tasks import Tasks, describe

STORE_THREADS = 4
"""Threads for the files of mailboxes."""

BACKLOG = 1024
"""Clients that may wait to be accepted, per listener; the kernel allows what net.core.somaxconn says."""

_LASTING = ("state", "spool", "journal", "control", "mailbox")
"""Sections of the configuration that are read at start only."""


class StartError(SystemExit):
    """The service cannot start: ends the process with this sentence and status 1."""


class Gateway(MultiService):
    """The whole service for one configuration. Raises PartsError where it cannot work."""

    def __init__(self, config: Config, reactor: Any) -> None:
        MultiService.__init__(self)
        self._reactor = reactor
        self.config = config
        self.journal = Journal(config.journal.file, history_directory(config), reactor, config.journal.history)
        self._tasks = Tasks(self.journal.write)
        self._pool = ThreadPool(minthreads=0, maxthreads=STORE_THREADS, name="store")
        self.bans = BanBook(os.path.join(config.state, FILE), policy_of(config), reactor, self.journal.write)
        self._lasting = make_lasting(
            config, reactor, journal=self.journal, tasks=self._tasks, bans=self.bans, pool=self._pool
        )
        self._parts = make_parts(config, self._lasting)
        self._retired = [self._parts]
        self.spool = make_spool(config, self._lasting)
        self.queue = make_queue(config, self._lasting, self._parts, self.spool)
        self.desk = make_desk(config, self._lasting, self.spool, self.queue)
        control = attrs.evolve(config.control, socket=control_socket(config))
        self.control = ControlService(reactor, control, self._collaborators())
        self.pressure = Pressure(config.pressure, reactor.seconds, self.journal.write)
        self._load = make_load_watch(config, self._lasting, self._pool, self.pressure, self.spool)
        self._counts = make_counts(config, self._lasting, self._pool)
        self._keys = KeyWatch(
            parts=lambda: self._parts, reactor=reactor, pool=self._pool, write_event=self.journal.write
        )
        self._clock = ClockWatch(reactor, self.journal.write, self.queue.put_back)
        self._behind = make_behind(
            self._lasting,
            spool=self.spool,
            queue=self.queue,
            desk=self.desk,
            pressure=self.pressure,
            ledger=self._counts.ledger,
        )
        self.doors = [self._door(name) for name in (each.name for each in config.listeners)]
        self._listening = MultiService()
        for door in self.doors:
            service = strports.service(_patient(door.listener.endpoint), door, reactor)
            service.endpoint = PromptEndpoint(service.endpoint)
            self._listening.addService(service)

    def _door(self, name: str) -> Door:
        door = Door(next(each for each in self.config.listeners if each.name == name))
        door.open(self._parts, self._behind)
        return door

    # Start

    def privilegedStartService(self) -> None:
        """Bind the ports, as root where that is needed; raises StartError."""
        for door, service in zip(self.doors, self._listening, strict=True):
            try:
                service.privilegedStartService()
            except (CannotListenError, OSError) as error:
                place = f"listener {door.listener.name!r}"
                raise StartError(f"relaygw cannot start: {place}: {error}") from None

    def startService(self) -> None:
        """Raises StartError."""
        MultiService.startService(self)
        try:
            own_state(self.config.state)
        except OSError as error:
            raise StartError(f"relaygw cannot start: {error}") from None
        self.journal.start()
        self._pool.start()
        if isinstance(self.spool, SqliteSpool):
            try:
                self.spool.open()
            except SpoolError as error:
                raise StartError(f"relaygw cannot start: {error}") from None
        self.bans.start()
        self._load.start()
        self._counts.start()
        self._keys.start()
        self._clock.start()
        self.desk.start()
        self.queue.startService()
        self.control.startService()
        self._listening.startService()
        signal.signal(signal.SIGHUP, self._hang_up)
        listeners = tuple(f"{door.listener.name} {door.listener.endpoint}" for door in self.doors)
        self.journal.write(Started(version=__version__, listeners=listeners))
        welcome(self.config)
        notify("READY=1")

    def _hang_up(self, *_: object) -> None:
        self._reactor.callFromThread(lambda: self._tasks.spawn("reload", self.reload()))

    # Reload

    async def reload(self) -> Reread:
        """Read the configuration again and use it; a wrong one changes nothing."""
        self.journal.reopen()
        try:
            config = load(self.config.path)
            parts = make_parts(config, self._lasting)
        except ConfigError as error:
            return self._reread(Reread(problems=[str(problem) for problem in error.problems]))
        except PartsError as error:
            return self._reread(Reread(problems=error.problems))
        waiting = _waiting_for_restart(self.config, config, self.doors)
        self._use(config, parts)
        return self._reread(Reread(waiting=waiting))

    def _reread(self, reread: Reread) -> Reread:
        self.journal.write(Reloaded(errors=tuple(reread.problems), waiting=tuple(reread.waiting)))
        tell_reread(reread.problems, reread.waiting)
        return reread

    def _use(self, config: Config, parts: Parts) -> None:
        lasting = {name: getattr(self.config, name) for name in _LASTING}
        self.config = attrs.evolve(config, **lasting)
        self._parts = parts
        # What is at work may still use the parts before these; those before them have had their time.
        while len(self._retired) > 1:
            self._retired.pop(0).close()
        self._retired.append(parts)
        self.bans.reconfigure(policy_of(config))
        self.pressure.config = config.pressure
        self.desk.reconfigure(config)
        self.queue.reconfigure(
            transports=parts.transports,
            routing=parts.routing,
            config=config.queue,
            traffic=traffic_of(config),
            reports=parts.reports,
        )
        known = {each.name for each in config.listeners}
        for door in self.doors:
            if door.listener.name in known:
                door.open(parts, self._behind)

    # Stop

    @deferred
    async def stopService(self) -> None:
        """Drain and stop, in bounded time. A step that fails is journaled and the next is taken all the same."""
        notify("STOPPING=1")
        MultiService.stopService(self)
        unfinished = 0
        for name, step in (
            ("close the ports", self._listening.stopService),
            ("end the sessions", self._end_sessions),
            ("look at the load no more", self._load.stop),
            ("keep the counts of quotas", self._counts.stop),
            ("look at the keys no more", self._keys.stop),
            ("close the control socket", self.control.stopService),
            ("sweep the trash no more", self.desk.stop),
            ("drain the queue", self.queue.stopService),
            ("keep the bans", self.bans.stop),
            ("watch the clock no more", self._clock.stop),
            ("end the background tasks", lambda: as_deferred(self._tasks.stop())),
            ("let go of the parts", self._close_parts),
            ("stop the threads of the mail store", self._pool.stop),
        ):
            await self._step(name, step)
        with contextlib.suppress(SpoolError):
            unfinished = await self.spool.count()
        await self._step("close the spool", lambda: as_deferred(self.spool.close()))
        self.journal.write(Stopped(unfinished=unfinished))
        await self.journal.stop()

    async def _step(self, name: str, step: Callable[[], Any]) -> None:
        try:
            await maybeDeferred(step)
        except Exception as error:
            self.journal.write(TaskFailed(task=name, error=describe(error)))

    def _close_parts(self) -> None:
        for parts in self._retired:
            parts.close()

    def _end_sessions(self) -> Deferred[Any]:
        return DeferredList([door.drain(self.config.queue.drain_timeout) for door in self.doors])

    # What operators see

    def _collaborators(self) -> Collaborators:
        return Collaborators(
            settings=lambda: self.config,
            queue=self.queue.operations,
            trace=self.journal.lookup,
            reload=self.reload,
            status=self._status,
            counts=lambda: self.journal.counts,
            account=lambda address: self._parts.directory.account(address),
            resolver=_Current(lambda: self._parts),
            clock=self._reactor.seconds,
            bans=self.bans,
            trash=self.desk.trash,
            spool=self.desk.spool,
            holds=self.desk.holds,
            rehearse=lambda route, recipient, connect: rehearse(self._parts.transports, route, recipient, connect),
            signing=lambda record: signing(self._parts.signer, record),
            addresses=AddressDesk(lambda: address_parts(self._parts)),
            look_at_keys=self._look_at_keys,
        )

    async def _look_at_keys(self) -> Mapping[str, Any]:
        await self._keys.look()
        return self._keys.status()

    async def _status(self) -> Mapping[str, Any]:
        return {
            # Where we listen, whatever a file that was read since would like.
            "listeners": [{"name": door.listener.name, "endpoint": door.listener.endpoint} for door in self.doors],
            "domains": list(self.config.domains),
            "messages": await self.spool.count(),
            "queue": dict(self.queue.counts),
            "trash": await self.desk.count(),
            "pressure": self.pressure.status(),
            "journal": {"lost": self.journal.lost},
            "dkim": self._keys.status(),
        }


@implementer(IResolver)
class _Current:
    """The resolver of the configuration in use at the moment."""

    def __init__(self, parts: Callable[[], Parts]) -> None:
        self._parts = parts

    def ask(self, question: Question) -> Awaitable[Answer]:
        answer: Awaitable[Answer] = self._parts().services.resolver.ask(question)
        return answer


def _patient(endpoint: str) -> str:
    """The endpoint with room for a burst of clients that wait to be accepted, where it says nothing about it itself.

    Twisted's default is 50: clients beyond have their connection dropped by the kernel, and try again after seconds.
    """
    kind = endpoint.partition(":")[0]
    return (
        f"{endpoint}:backlog={BACKLOG}" if kind in ("tcp", "tcp6", "unix") and "backlog=" not in endpoint else endpoint
    )


def _waiting_for_restart(old: Config, new: Config, doors: Iterable[Door]) -> list[str]:
    """What differs from what was read at the start, and is read then only: at every reload anew."""
    changed = [name for name in _LASTING if getattr(old, name) != getattr(new, name)]
    before = {door.listener.name: door.listener.endpoint for door in doors}
    after = {each.name: each.endpoint for each in new.listeners}
    return changed + [
        f"listener {name}" for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name)
    ]
