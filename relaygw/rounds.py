"""What is done at the end of the reactor's round, together, and when its rounds have run dry.

A reply wakes whoever waits for it, and waking a process costs more than sending does: mostly where it sleeps on another
core of this machine (a proxy, a scanner, a relay of our own). Of replies that leave one right after the other only the
first has to: it is awake for the rest. So they wait for the end of the round in which they were found, which is soon.

Whoever wants company (a batch that is to be synced) waits as long as there is somebody to come: until a round passes in
which nobody joined.
"""

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

MOST = 32
"""So many wait for each other at most: a few milliseconds of work."""

_log = Logger()

Action = Callable[[], None]


def at_once(action: Action) -> None:
    """What `Rounds.join` and `Rounds.when_dry` do, without a reactor that has rounds."""
    action()


class Rounds:
    """The rounds of one reactor. What an action raises ends in the log."""

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._joined: list[Action] = []
        self._until_dry: list[Action] = []
        self._busy = self._called = False
        self._since = 0.0

    def join(self, action: Action) -> None:
        """Have this done before the reactor looks for events again, or sooner."""
        self._joined.append(action)
        self._busy = True
        if len(self._joined) >= MOST:
            self._do_joined()
        self._call()

    def when_dry(self, action: Action) -> None:
        """Have this done after the first round in which nobody joins."""
        self._until_dry.append(action)
        self._busy = True
        self._call()

    def _call(self) -> None:
        """Have the end of the round told, once; again where the clock was put back, as the reactor waits then until it
        has caught up, and all of our clients would wait with it."""
        now = self._reactor.seconds()
        if not self._called or now < self._since:
            self._called, self._since = True, now
            self._reactor.callLater(0, self._end)

    def _end(self) -> None:
        self._called = False
        busy, self._busy = self._busy, False
        self._do_joined()
        if busy and self._until_dry:
            self._call()
        else:
            dry, self._until_dry = self._until_dry, []
            _do(dry)

    def _do_joined(self) -> None:
        joined, self._joined = self._joined, []
        _do(joined)


def _do(actions: list[Action]) -> None:
    for action in actions:
        try:
            action()
        except Exception:
            _log.failure("what was to be done at the end of a round failed")
