"""Back-pressure: when the spool's disk is nearly full, the spool has failed, the queue or the process is too large,
mail is refused for the time being, before it is accepted and not after.

It is looked every few seconds and not per command; what was found holds until the next look, so that recovery needs
nobody. Where the messages that came since then may have filled the queue, it is looked again at once. The spool's own
failures are told by those who meet them, and hold for `spool_pause`; then it is tried again. What cannot be looked at
(no such filesystem yet, no count) is no reason to refuse.
"""

from collections.abc import Callable, Mapping

import attrs

from relaygw.config.schema import PressureConfig
from relaygw.core.events import Event, PressureChanged
from relaygw.core.reply import Reply

SHORT = Reply(452, "4.3.1", "Insufficient system storage, try again later")
CLOSED = Reply(421, "4.3.1", "Not enough resources, try again later")


@attrs.frozen(kw_only=True)
class Load:
    """What was found; None: could not be looked at. `free_space` and `memory` in octets."""

    free_space: int | None = None
    free_inodes: int | None = None
    queue: int | None = None
    memory: int | None = None


class Pressure:
    """`now` answers seconds. One for all listeners; `config` may be replaced while it is used, and `look_again`, which
    asks for a look before its time."""

    def __init__(self, config: PressureConfig, now: Callable[[], float], journal: Callable[[Event], None]) -> None:
        self.config = config
        self._now = now
        self._journal = journal
        self.look_again: Callable[[], None] = lambda: None
        self._load = Load()
        self._came = 0
        self._found: tuple[str, ...] = ()
        self._told: tuple[str, ...] = ()
        self._failed_until = 0.0
        self._failure = ""

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why no mail is accepted at the moment; empty where it is."""
        failed = (f"the spool failed: {self._failure}",) if self._is_failing() else ()
        return (*self._found, *failed)

    def _is_failing(self) -> bool:
        left = self._failed_until - self._now()
        if left > self.config.spool_pause + 1.0:  # by a clock that was put back meanwhile
            self._failed_until = left = 0.0
        return left > 0

    @property
    def closed(self) -> Reply | None:
        """What a client who connects is told instead of a greeting, None where it is welcome."""
        return CLOSED if self._too_much(self._load.memory, self.config.memory) else None

    def refusal(self, size: int) -> Reply | None:
        """What MAIL is answered for a message that says it has `size` octets (RFC 1870 6.1), None where it may come."""
        if self.reasons:
            return SHORT
        if self.config.queue_length:
            self._came += 1
            if (self._load.queue or 0) + self._came > self.config.queue_length:
                self.look_again()
        free = self._load.free_space
        return SHORT if free is not None and self.config.free_space and size > free - self.config.free_space else None

    def look(self, load: Load) -> None:
        """Take what was found into account from now on."""
        self._load, self._came = load, 0
        config = self.config
        self._found = tuple(
            reason
            for reason, holds in (
                ("little space is left on the disk", self._too_little(load.free_space, config.free_space)),
                ("few inodes are left on the disk", self._too_little(load.free_inodes, config.free_inodes)),
                ("the queue is long", self._too_much(load.queue, config.queue_length)),
                ("the process is large", self._too_much(load.memory, config.memory)),
            )
            if holds
        )
        self._tell()

    @staticmethod
    def _too_little(found: int | None, least: int) -> bool:
        return found is not None and found < least

    @staticmethod
    def _too_much(found: int | None, most: int) -> bool:
        return found is not None and most > 0 and found > most

    def spool_failed(self, error: str) -> None:
        """The spool could not do what was asked."""
        self._failed_until = self._now() + self.config.spool_pause
        self._failure = error[:200]
        self._tell()

    def _tell(self) -> None:
        """A change is told once. What a failure says may differ each time; that it failed does not."""
        reasons = self.reasons
        kinds = tuple(reason.partition(":")[0] for reason in reasons)
        if kinds != self._told:
            self._told = kinds
            self._journal(PressureChanged(reasons=reasons))

    def status(self) -> Mapping[str, object]:
        """For operators; `accepting` as a number, so that it can be counted."""
        load = {name: value for name, value in attrs.asdict(self._load).items() if value is not None}
        return {"accepting": int(not self.reasons), "reasons": list(self.reasons), **load}
