"""Makes the parts that stay through every reload: the spool, the queue, the operators' desk, what watches the load, and
what the doors share. Nothing begins here.
"""

import os
from typing import Any

from twisted.python.threadpool import ThreadPool

from relaygw.bans import BanBook
from relaygw.config.paths import mail_directory, spool_directory
from relaygw.config.schema import Config
from relaygw.core.quota import Ledger
from relaygw.gateway.counts import Counts
from relaygw.gateway.desk import Desk
from relaygw.gateway.doors import Behind
from relaygw.gateway.load import LoadWatch
from relaygw.gateway.parts import Lasting, Parts, fresh_id, jitter
from relaygw.ingress.pressure import Pressure
from relaygw.ingress.quotas import LedgerFile
from relaygw.interfaces import ISpool
from relaygw.journal.journal import Journal
from relaygw.mailbox.store import Store
from relaygw.queue.parts import QueueSetup
from relaygw.queue.service import QueueService
from relaygw.queue.traffic import traffic_of
from relaygw.rounds import Rounds
from relaygw.secret import KeptSecret
from relaygw.spool.memory import MemorySpool
from relaygw.spool.sqlite import SqliteSpool
from relaygw.tasks import Tasks

QUOTAS = "quotas.json"
"""The file of the counts of quotas, in the state directory."""


def make_lasting(
    config: Config, reactor: Any, *, journal: Journal, tasks: Tasks, bans: BanBook, pool: ThreadPool
) -> Lasting:
    """What the parts of every configuration work with."""
    return Lasting(
        reactor=reactor,
        rounds=Rounds(reactor),
        write_event=journal.write,
        spawn=tasks.spawn,
        store=Store(mail_directory(config), reactor, pool),
        bans=bans,
        secret=KeptSecret(os.path.join(config.state, "secret")),
    )


def make_spool(config: Config, lasting: Lasting) -> Any:
    """The spool of this kind; one on disk is still to be opened."""
    if config.spool.kind == "memory":
        return MemorySpool()
    return SqliteSpool(
        spool_directory(config),
        lasting.reactor,
        inline_limit=config.spool.inline_limit,
        report=lasting.write_event,
        when_dry=lasting.rounds.when_dry,
    )


def make_queue(config: Config, lasting: Lasting, parts: Parts, spool: ISpool) -> QueueService:
    """The queue, with the parts of the first configuration."""
    return QueueService(
        QueueSetup(
            spool=spool,
            transports=parts.transports,
            routing=parts.routing,
            config=config.queue,
            clock=lasting.reactor,
            write_event=lasting.write_event,
            hostname=config.hostname,
            postmaster=config.postmaster,
            random=jitter,
            new_id=lambda: fresh_id(lasting.reactor.seconds()),
            traffic=traffic_of(config),
            reports=parts.reports,
        )
    )


def make_desk(config: Config, lasting: Lasting, spool: ISpool, queue: QueueService) -> Desk:
    """What operators have beside the queue."""
    desk = Desk(
        config,
        spool=spool,
        operations=queue.operations,
        reactor=lasting.reactor,
        spawn=lasting.spawn,
        write_event=lasting.write_event,
    )
    queue.hold_by(desk.holds.judge_destination)
    return desk


def make_load_watch(config: Config, lasting: Lasting, pool: ThreadPool, pressure: Pressure, spool: ISpool) -> LoadWatch:
    """What looks at the disk of the spool; a spool in memory has none, and the state directory's counts."""
    return LoadWatch(
        pressure=pressure,
        path=spool_directory(config) if config.spool.kind != "memory" else config.state,
        count=spool.count,
        reactor=lasting.reactor,
        pool=pool,
        journal=lasting.write_event,
    )


def make_counts(config: Config, lasting: Lasting, pool: ThreadPool) -> Counts:
    """The counts of quotas, and their file."""
    return Counts(LedgerFile(os.path.join(config.state, QUOTAS), lasting.write_event), lasting.reactor, pool)


def make_behind(
    lasting: Lasting, *, spool: ISpool, queue: QueueService, desk: Desk, pressure: Pressure, ledger: Ledger
) -> Behind:
    """What stands behind every door, whatever the configuration."""
    return Behind(
        spool=spool,
        offer=queue.offer,
        lease=queue.lease,
        at_round_end=lasting.rounds.join,
        write_event=lasting.write_event,
        spawn=lasting.spawn,
        pressure=pressure,
        ledger=ledger,
        holds=desk.holds,
    )
