"""The sessions of one POP3 or IMAP4 listener: how many there are and of whom, and how they all end."""

from collections import Counter
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from twisted.internet.defer import Deferred

from relaygw.config.schema import ListenerConfig


class Session(Protocol):
    """What must be known of one."""

    def shut_down(self) -> None:
        """End it; it leaves when nothing of it is left."""
        ...


S = TypeVar("S", bound=Session)


class Attendance(Generic[S]):
    """Each session enters once and leaves once."""

    def __init__(self, listener: ListenerConfig) -> None:
        self._listener = listener
        self._sessions: dict[S, str] = {}
        self._clients: Counter[str] = Counter()
        self._ended: Deferred[None] | None = None

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[S]:
        return iter(self._sessions)

    @property
    def ending(self) -> bool:
        """Nobody is to come any more."""
        return self._ended is not None

    @property
    def full(self) -> bool:
        """The listener bears no more clients."""
        return len(self._sessions) >= self._listener.max_connections

    def full_of(self, client: str) -> bool:
        """It bears no more of this one."""
        return self._clients[client] >= self._listener.max_connections_per_client

    def enter(self, session: S, client: str) -> None:
        self._sessions[session] = client
        self._clients[client] += 1

    def leave(self, session: S) -> None:
        client = self._sessions.pop(session)
        self._clients[client] -= 1
        if not self._clients[client]:
            del self._clients[client]
        self._settle()

    async def end(self) -> None:
        """End every session; answers when all have left."""
        self._ended = Deferred()
        for session in tuple(self._sessions):
            session.shut_down()
        self._settle()
        await self._ended

    def _settle(self) -> None:
        if self._ended is not None and not self._sessions and not self._ended.called:
            self._ended.callback(None)
