"""Sessions kept open for the next message to the same next hop, for a while and a number of messages.

Who takes a session owns it until it is given back. A kept session whose server closes it, or says anything, leaves
the pool by itself.
"""

from typing import Any

import attrs
from twisted.internet.defer import Deferred

from relaygw.core.mx import Target
from relaygw.egress.client import Session
from relaygw.egress.connection import QUIT_TIMEOUT
from relaygw.egress.hop import Hop, Manners

MAX_IDLE = 200
"""Sessions kept in all; beyond it the one longest idle goes."""

STOP_TIMEOUT = QUIT_TIMEOUT + 1.0


@attrs.frozen
class Key:
    """What makes two sessions interchangeable: the address, the name its certificate was meant for, and the hop."""

    host: str
    address: str
    hop: Hop


class Pool:
    """Idle sessions by key; of several, the one used last goes first, so that the others may grow old."""

    def __init__(self, clock: Any, manners: Manners) -> None:
        self._clock = clock
        self._manners = manners
        self._idle: dict[Key, list[Session]] = {}
        self._kept: dict[Session, tuple[Key, float]] = {}  # with their ends, in the order they were given back
        self._timer: Any = None
        self._closing: set[Session] = set()
        self._emptied: Deferred[None] | None = None

    def has(self, target: Target, hop: Hop) -> bool:
        return Key(target.host, target.address, hop) in self._idle

    def take(self, target: Target, hop: Hop) -> Session | None:
        """A session for this next hop, or None."""
        waiting = self._idle.get(Key(target.host, target.address, hop))
        if not waiting:
            return None
        session = waiting[-1]
        self._remove(session)
        session.reused = True
        return session

    def give(self, session: Session, most: int = 0) -> None:
        """Take a session back after its message: keep it, or let it go. `most` messages over one, where it is given."""
        if not session.connection.alive:
            return
        worn = session.worn or session.messages >= (most or self._manners.messages_per_connection)
        if worn or not self._manners.idle_timeout or self._emptied is not None:
            self._quit(session)
            return
        session.connection.gone = lambda: self._remove(session)
        key, idle = Key(session.target.host, session.target.address, session.hop), self._manners.idle_timeout
        self._kept[session] = key, self._clock.seconds() + idle
        self._idle.setdefault(key, []).append(session)
        if self._timer is None:
            self._timer = self._clock.callLater(idle, self._tick)
        if len(self._kept) > MAX_IDLE:
            self._expire(next(iter(self._kept)))

    async def stop(self) -> None:
        """Say QUIT everywhere, and wait until all is closed; who does not answer is cut off."""
        self._emptied = Deferred()
        for session in tuple(self._kept):
            self._expire(session)
        self._told()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        timer = self._clock.callLater(STOP_TIMEOUT, self._cut_off)
        await self._emptied
        if timer.active():
            timer.cancel()

    def _tick(self) -> None:
        """Let those go that have been kept for long enough; the next one's end is the next look."""
        self._timer = None
        now = self._clock.seconds()
        for session, (_, end) in tuple(self._kept.items()):
            if end > now:
                self._timer = self._clock.callLater(end - now, self._tick)
                return
            self._expire(session)

    def _expire(self, session: Session) -> None:
        self._remove(session)
        self._quit(session)

    def _remove(self, session: Session) -> None:
        """Out of the pool, whoever asked for it; harmless a second time."""
        session.connection.gone = None
        kept = self._kept.pop(session, None)
        if kept is None:
            return
        waiting = self._idle[kept[0]]
        waiting.remove(session)
        if not waiting:
            del self._idle[kept[0]]

    def _quit(self, session: Session) -> None:
        self._closing.add(session)
        session.connection.gone = lambda: self._closed(session)
        session.connection.quit()

    def _closed(self, session: Session) -> None:
        self._closing.discard(session)
        self._told()

    def _told(self) -> None:
        if self._emptied is not None and not self._closing and not self._emptied.called:
            self._emptied.callback(None)

    def _cut_off(self) -> None:
        for session in tuple(self._closing):
            session.connection.abort()
