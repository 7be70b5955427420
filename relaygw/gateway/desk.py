"""What operators have beside the queue itself: the trash with its sweeper, and the spool's own desk. Started, stopped
and reconfigured as one.
"""

import os
from collections.abc import Awaitable, Callable
from typing import Any

from relaygw.config.schema import Config
from relaygw.core.events import Event
from relaygw.holds import FILE, HoldBook
from relaygw.interfaces import ITrash
from relaygw.queue.operations import Operations
from relaygw.queue.trash import Sweeper, Trash
from relaygw.spool.desk import SpoolDesk
from relaygw.spool.sqlite import SqliteSpool


class Desk:
    """`trash` is None where the spool keeps none, `spool` where it is not one on disk."""

    def __init__(
        self,
        config: Config,
        *,
        spool: Any,
        operations: Operations,
        reactor: Any,
        spawn: Callable[[str, Awaitable[None]], None],
        write_event: Callable[[Event], None],
    ) -> None:
        self.holds = HoldBook(
            os.path.join(config.state, FILE),
            config,
            now=reactor.seconds,
            write_event=write_event,
            places=operations.names,
        )
        self.spool: SpoolDesk | None = None
        if isinstance(spool, SqliteSpool):
            self.spool = SpoolDesk(spool, now=reactor.seconds, write_event=write_event, fell_due=operations.fell_due)
        self.trash: Trash | None = None
        self._sweeper: Sweeper | None = None
        if ITrash.providedBy(spool):
            self.trash = Trash(
                spool=spool,
                operations=operations,
                age=config.queue.trash_age,
                now=reactor.seconds,
                write_event=write_event,
            )
            self._sweeper = Sweeper(self.trash, reactor, spawn, write_event)
            operations.kept = self._sweeper.look

    def start(self) -> None:
        self.holds.start()
        if self._sweeper is not None:
            self._sweeper.start()

    def reconfigure(self, config: Config) -> None:
        """Use this configuration from now on."""
        self.holds.reconfigure(config)
        if self._sweeper is not None:
            self._sweeper.reconfigure(config.queue.trash_age)

    async def count(self) -> int:
        """How many removals can be undone."""
        return await self.trash.count() if self.trash is not None else 0

    def stop(self) -> None:
        if self._sweeper is not None:
            self._sweeper.stop()
