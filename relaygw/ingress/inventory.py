"""Who still uses old TLS or none on a legacy listener: the list to work off before it can be closed.

Each client is told to the journal once a day for each way it comes in, not once per message. Bounded: beyond
MAX_CLIENTS the one that was told longest ago is forgotten, and told again when it comes back.
"""

from collections.abc import Callable

from relaygw.core.address import Address
from relaygw.core.envelope import path
from relaygw.core.events import Event, OldClient
from relaygw.core.session import Session

MAX_CLIENTS = 10_000
DAY = 86400.0
MODERN = ("TLSv1.2", "TLSv1.3")


class Inventory:
    """`now` answers POSIX seconds."""

    def __init__(self, journal: Callable[[Event], None], now: Callable[[], float]) -> None:
        self._journal = journal
        self._now = now
        self._told: dict[tuple[str, str], float] = {}

    def note(self, session: Session, sender: Address | None) -> None:
        """A client sends mail."""
        version = session.tls.version if session.tls is not None else ""
        if version in MODERN:
            return
        key, now = (session.client, version), self._now()
        told = self._told.get(key)
        if told is not None and 0 <= now - told < DAY:
            return
        self._told.pop(key, None)
        self._told[key] = now
        if len(self._told) > MAX_CLIENTS:
            del self._told[next(iter(self._told))]
        self._journal(
            OldClient(
                session=session.id,
                client=session.client,
                listener=session.listener,
                tls=version,
                hello=session.hello,
                login=session.login,
                sender=path(sender),
            )
        )
