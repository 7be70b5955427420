"""How many DNS questions the mail of one message, and of one client, may cause: what is in the cache costs nothing.

A message can name as many domains as it likes, and make each of them ask for more (RFC 7208 11.1): the bound on the
message keeps one from asking the world on somebody's behalf, the bound on the client keeps it from doing so with many.
Beyond either, questions are answered as a failing DNS would answer them: a temporary error, of which the operator's
tables say what it leads to.
"""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

from relaygw.core.client import block_of, parse_client
from relaygw.core.events import Event, QuestionsLimited
from relaygw.core.rate import Counters, Limit
from relaygw.core.session import Transaction
from relaygw.dns import DeadlineResolver
from relaygw.interfaces import Services

PERIOD = 60.0
"""Seconds in which a client may cause as many questions as it may."""

_MESSAGES = 10_000
_CLIENTS = 50_000


def asker(services: Services, transaction: Transaction, seconds: float) -> DeadlineResolver:
    """The resolver for what a filter wants to know about this transaction, within its time and its allowance."""
    allowance: Allowance | None = services.allowance
    spend = partial(allowance.spend, transaction) if allowance is not None else None
    return DeadlineResolver(services.resolver, services.reactor, seconds, spend)


class Allowance:
    """`message` questions for one message, `client` for one client (its /64 for IPv6) within PERIOD; 0: any number.

    Clients on this host have only the bound on their messages.
    """

    def __init__(self, *, message: int, client: int, clock: Any, write_event: Callable[[Event], None]) -> None:
        self._message = message
        self._client = client
        self._seconds: Callable[[], float] = clock.seconds
        self._write_event = write_event
        self._messages: OrderedDict[str, int] = OrderedDict()
        self._clients = Counters(Limit(count=client, period=PERIOD), _CLIENTS) if client else None
        self._told: OrderedDict[str, float] = OrderedDict()

    def spend(self, transaction: Transaction) -> str:
        """Count a question that the cache cannot answer; why it must not be asked, "" where it may."""
        return self._spend_message(transaction) or self._spend_client(transaction)

    def _spend_message(self, transaction: Transaction) -> str:
        if not self._message:
            return ""
        key = transaction.queue_id or transaction.session.id
        asked = self._messages.pop(key, 0)
        self._messages[key] = asked + 1
        if len(self._messages) > _MESSAGES:
            self._messages.popitem(last=False)
        if asked == self._message:
            self._tell(transaction, "message", self._message)
        return f"one message may ask the DNS {self._message} times" if asked >= self._message else ""

    def _spend_client(self, transaction: Transaction) -> str:
        client = parse_client(transaction.session.client)
        # On this host is a proxy, behind which all the world is, or a program of ours.
        if self._clients is None or client is None or client.is_loopback:
            return ""
        key, now = str(client) if client.version == 4 else block_of(client), self._seconds()
        if not self._clients.take(key, now):
            return ""
        if now >= self._told.get(key, 0.0):
            self._told[key] = now + PERIOD
            self._told.move_to_end(key)
            if len(self._told) > _MESSAGES:
                self._told.popitem(last=False)
            self._tell(transaction, "client", self._client)
        return f"mail from {key} may ask the DNS {self._client} times a minute"

    def _tell(self, transaction: Transaction, what: str, most: int) -> None:
        session = transaction.session
        self._write_event(
            QuestionsLimited(
                session=session.id, queue_id=transaction.queue_id, client=session.client, limit=what, most=most
            )
        )
