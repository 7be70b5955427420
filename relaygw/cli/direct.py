"""The queue without the service: its operations on a spool opened for one command, in this process and thread.

What is done is journaled like everything else. Run by root, it works as the owner of the spool, so that no file is
left behind that the service could not open.
"""

import contextlib
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, TypeVar

import attrs

from relaygw.bridge import deferred
from relaygw.cli.answer import CommandError, NotRunningError
from relaygw.config.paths import history_directory, spool_directory
from relaygw.config.schema import Config
from relaygw.core.address import Address
from relaygw.core.events import Event
from relaygw.core.ids import new_id
from relaygw.interfaces import ISpool, SpoolError
from relaygw.journal.file import LineFile
from relaygw.journal.history import History
from relaygw.journal.line import Line, make_line
from relaygw.queue.operations import Operations
from relaygw.queue.reports import reports_for
from relaygw.queue.traffic import traffic_of
from relaygw.queue.trash import Trash
from relaygw.spool.memory import MemorySpool
from relaygw.spool.sqlite import SqliteSpool

T = TypeVar("T")

AT_ONCE = 500
"""Events written to the journal together."""


def run_now(awaitable: Awaitable[T]) -> T:
    """The result of something that needs no reactor; raises what it raises."""
    results: list[T] = []
    failures: list[Exception] = []

    @deferred
    async def run() -> None:
        try:
            results.append(await awaitable)
        except Exception as error:
            failures.append(error)

    _ = run()
    if failures:
        raise failures[0]
    return results[0]


@contextlib.contextmanager
def operations(config: Config) -> Iterator[Operations]:
    """The queue's operations while nobody else has the spool; raises CommandError."""
    if config.spool.kind == "memory":
        raise NotRunningError("the service is not running, and its spool was in memory")
    try:
        reports = reports_for(config, _fresh_id)
    except ValueError as error:
        raise CommandError(str(error)) from None
    with opened(config) as spool, journal(config) as write:
        yield Operations(
            spool=spool,
            reports=attrs.evolve(reports, lead=lambda address: _leads_to(config, address)),
            schedule=traffic_of(config).retries,
            now=time.time,
            write_event=write,
        )


def _leads_to(config: Config, address: Address) -> Sequence[Address]:
    """Where mail to an address goes; tables are read only where one of ours is asked about."""
    from relaygw.gateway.addresses import rules_of

    if not config.aliases.tables or not rules_of(config).ours(address.domain):
        return (address,)
    from twisted.internet import reactor

    from relaygw.cli.borrowed import address_parts, services

    clock: Any = reactor
    aliases = address_parts(config, services(config, clock)).aliases
    return aliases.leads_to(address) if aliases is not None else (address,)


@attrs.frozen(kw_only=True)
class Near:
    """The queue and its trash on a spool of our own; `routes` are the names of the configuration's."""

    operations: Operations
    trash: Trash
    routes: tuple[str, ...]


@contextlib.contextmanager
def near_queue(config: Config) -> Iterator[Near]:
    """All that operators do with the queue, while nobody else has the spool; raises CommandError."""
    with operations(config) as found, journal(config) as write:
        trash = Trash(
            spool=found.spool,  # type: ignore[arg-type]  # both spools of ours keep a trash
            operations=found,
            age=config.queue.trash_age,
            now=time.time,
            write_event=write,
        )
        _ = run_now(_swept(trash))
        routes = tuple(route.name or f"route {number}" for number, route in enumerate(config.routes, 1))
        yield Near(operations=found, trash=trash, routes=routes)


async def _swept(trash: Trash) -> bool:
    """What is too old is not shown, even where no service let go of it."""
    return await trash.sweep()


@contextlib.contextmanager
def opened(config: Config) -> Iterator[ISpool]:
    """The spool; an empty one where the service has never run, so that looking at it makes nothing."""
    path = spool_directory(config)
    if not os.path.isdir(path):
        yield MemorySpool()
        return
    spool = SqliteSpool(path, None, inline_limit=config.spool.inline_limit)
    try:
        with as_owner(path):
            spool.open()
            try:
                yield spool
            finally:
                run_now(spool.close())
    except SpoolError as error:
        raise CommandError(str(error)) from None


@contextlib.contextmanager
def journal(config: Config) -> Iterator[Callable[[Event], None]]:
    """Where events are written, many at a time: an order may be for every message of a long queue."""
    lines: list[Line] = []

    def write(event: Event) -> None:
        lines.append(make_line(event, time.time()))
        if len(lines) >= AT_ONCE:
            write_lines(config, lines)
            lines.clear()

    try:
        yield write
    finally:
        if lines:
            write_lines(config, lines)


def write_event(config: Config, event: Event) -> None:
    """One event into file and history."""
    write_lines(config, [make_line(event, time.time())])


def write_lines(config: Config, lines: Sequence[Line]) -> None:
    """Into file and history; a journal that cannot be written stops no operator."""
    file = LineFile("" if config.journal.file == "-" else config.journal.file)
    history = History(history_directory(config), config.journal.history)
    with contextlib.suppress(OSError):
        file.append([line.text for line in lines])
    with contextlib.suppress(Exception):
        history.append(lines)
    file.close()
    history.close()


@contextlib.contextmanager
def as_owner(path: str) -> Iterator[None]:
    """Root becomes the owner of the path for the time of the block; everyone else stays who they are."""
    owner = os.stat(path)
    if os.geteuid() != 0 or owner.st_uid == 0:
        yield
        return
    group = os.getegid()
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)


def _fresh_id() -> str:
    return new_id(time.time(), secrets.randbits(35))
