"""Bans kept: the policy of `relaygw.core.bans` with a clock, a file and the journal. A Guard for logins.

The file in the state directory is replaced in one step, in a thread, within seconds of a change and at stop. One that
cannot be read is put aside and told: bans begin anew rather than keep the service from starting.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterable
from typing import Any

import cattrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.threads import deferToThreadPool

from relaygw import durable
from relaygw.bridge import deferred
from relaygw.config.schema import Config
from relaygw.core.bans import Ban, Bans, Known, Policy
from relaygw.core.events import Banned, Event, Lifted, TaskFailed

FILE = "bans.json"
SAVE_AFTER = 2.0
SWEEP_EVERY = 60.0

_CONVERTER = cattrs.Converter(forbid_extra_keys=False)


def policy_of(config: Config) -> Policy:
    """The policy that a configuration asks for; trusted networks are never banned."""
    bans = config.bans
    return Policy(
        enabled=bans.enabled,
        failures=bans.failures,
        network_failures=bans.network_failures,
        login_failures=bans.login_failures,
        window=bans.window,
        duration=bans.duration,
        longest=bans.longest,
        exempt=(*config.trusted_networks, *bans.exempt),
    )


def load(path: str, policy: Policy) -> Bans:
    """What was kept; raises OSError or ValueError where it cannot be read. No file: nothing was."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return Bans(policy)
    try:
        kept: Any = json.loads(data)
        bans = _CONVERTER.structure(kept["bans"], list[Ban])
        known = _CONVERTER.structure(kept["known"], list[Known])
        return Bans(policy, bans, known)
    except (cattrs.BaseValidationError, KeyError, TypeError, ValueError, RecursionError):
        raise ValueError(f"{path} does not hold bans") from None


def dump(bans: Bans) -> str:
    """All that has to be kept, as JSON."""
    kept = {"bans": bans.kept(), "known": bans.known()}
    return json.dumps({name: _CONVERTER.unstructure(values) for name, values in kept.items()})


def save(path: str, text: str) -> None:
    """Replace the file; raises OSError."""
    durable.replace(path, text)


class BanBook:
    """`reactor` gives time and threads. Nothing is read before `start`, nothing written before something changed."""

    def __init__(self, path: str, policy: Policy, reactor: Any, write_event: Callable[[Event], None]) -> None:
        self._path = path
        self._reactor = reactor
        self._write_event = write_event
        self._bans = Bans(policy)
        self._changed = False
        self._saving: Deferred[None] | None = None
        self._timers: dict[str, IDelayedCall] = {}

    def start(self) -> None:
        """Read what was kept."""
        try:
            self._bans = load(self._path, self._bans.policy)
        except (OSError, ValueError) as error:
            self._write_event(TaskFailed(task="read the bans", error=str(error)))
            with contextlib.suppress(OSError):
                os.replace(self._path, f"{self._path}.unreadable")
        self._sweep()

    def reconfigure(self, policy: Policy) -> None:
        """What is banned stays so; from now on the new policy holds."""
        self._bans.policy = policy

    @deferred
    async def stop(self) -> None:
        """Keep what has changed."""
        for timer in self._timers.values():
            if timer.active():
                timer.cancel()
        self._timers.clear()
        if self._saving is not None:
            await self._saving
        if self._changed:
            await self._save()

    # What listeners ask.

    def shut(self, client: str) -> Ban | None:
        """The ban because of which a client is not let in, None for nearly everybody."""
        return self._bans.shut(client, self._now)

    # What logins ask and tell (relaygw.sasl.guard).

    def refuses(self, client: str, login: str) -> bool:
        return self._bans.refuses(client, login, self._now)

    def failed(self, client: str, login: str, attempt: bytes = b"") -> None:
        self._told(self._bans.failed(client, login, attempt, self._now))

    def succeeded(self, client: str, *logins: str) -> None:
        news = [self._bans.succeeded(client, login, self._now) for login in logins]
        if any(news):
            self._change()

    # What operators ask.

    def all(self) -> tuple[Ban, ...]:
        """Every ban in force."""
        return self._bans.all(self._now)

    def add(self, subject: str, seconds: float, reason: str) -> Ban:
        """Ban an address, a network or a login; raises BanError."""
        ban = self._bans.add(subject, seconds, reason, self._now)
        self._told((ban,))
        return ban

    def lift(self, subject: str) -> tuple[Ban, ...]:
        """End the bans of an address, network or login; those that were in force."""
        now = self._now
        lifted = self._bans.lift(subject)
        running = tuple(ban for ban in lifted if ban.until > now)
        self._ended(running, "by an operator")
        if lifted:
            self._change()
        return running

    # Underneath.

    @property
    def _now(self) -> float:
        return float(self._reactor.seconds())

    def _told(self, bans: Iterable[Ban]) -> None:
        for ban in bans:
            seconds = ban.until - ban.since
            self._write_event(Banned(kind=ban.kind.value, subject=ban.subject, reason=ban.reason, seconds=seconds))
            self._change()

    def _ended(self, bans: Iterable[Ban], reason: str) -> None:
        for ban in bans:
            self._write_event(Lifted(kind=ban.kind.value, subject=ban.subject, reason=reason))

    def _sweep(self) -> None:
        self._ended(self._bans.sweep(self._now), "its time is over")
        self._timers["sweep"] = self._reactor.callLater(SWEEP_EVERY, self._sweep)

    def _change(self, soon: float = SAVE_AFTER) -> None:
        self._changed = True
        if "save" not in self._timers and "sweep" in self._timers:
            self._timers["save"] = self._reactor.callLater(soon, self._begin_save)

    def _begin_save(self) -> None:
        self._saving = self._save()

    @deferred
    async def _save(self) -> None:
        self._changed, again = False, SAVE_AFTER
        try:
            await deferToThreadPool(self._reactor, self._reactor.getThreadPool(), save, self._path, dump(self._bans))
        except OSError as error:
            self._write_event(TaskFailed(task="keep the bans", error=str(error)))
            self._changed, again = True, SWEEP_EVERY
        self._saving = None
        self._timers.pop("save", None)
        if self._changed:
            self._change(again)
