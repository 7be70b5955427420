"""How many DNS questions the mail of one message, and of one client, may cause: what is in the cache costs nothing.

A message can name as many domains as it likes, and make each of them ask for more (RFC 7208 11.1): the bound on the
message keeps one from asking the world on somebody's behalf, the bound on the client keeps it from doing so with many.
Beyond either, questions are answered as a failing DNS would answer them: a temporary error, of which the operator's
tables say what it leads to.

Few questions can be on their way at one time, for all mail in and out together. Those of one client wait for each
other, so that domains whose servers never answer keep nobody else's waiting.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from relaygw.core.client import block_of, parse_client
from relaygw.core.events import Event, QuestionsLimited
from relaygw.core.question import Answer
from relaygw.core.rate import Counters, Limit
from relaygw.core.session import Transaction
from relaygw.dns import DeadlineResolver
from relaygw.dns.turns import Turns
from relaygw.interfaces import Services

PERIOD = 60.0
"""Seconds in which a client may cause as many questions as it may."""

AT_ONCE = 50
"""Questions of one client that are on their way at one time; the resolver has room for six times as many."""

_MESSAGES = 10_000
_CLIENTS = 50_000


def asker(services: Services, transaction: Transaction, seconds: float) -> DeadlineResolver:
    """The resolver for what a filter wants to know about this transaction, within its time and its allowance."""
    allowance: Allowance | None = services.allowance
    if allowance is None:
        return DeadlineResolver(services.resolver, services.reactor, seconds)
    spend, in_turn = partial(allowance.spend, transaction), partial(allowance.in_turn, transaction)
    return DeadlineResolver(services.resolver, services.reactor, seconds, spend, in_turn)


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
        self._turns: dict[str, Turns] = {}

    async def in_turn(self, transaction: Transaction, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """Ask once few enough questions of this client are on their way."""
        key = _key(transaction)
        if not key:
            return await ask()
        turns = self._turns.get(key)
        if turns is None:
            turns = self._turns[key] = Turns(AT_ONCE)
        try:
            return await turns.run(ask)
        finally:
            if turns.idle and self._turns.get(key) is turns:
                del self._turns[key]

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
        if self._clients is None:
            return ""
        key, now = _key(transaction), self._seconds()
        if not key or not self._clients.take(key, now):
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


def _key(transaction: Transaction) -> str:
    """The client that is bound, "" where none is: on this host is a proxy, with all the world behind it, or a program
    of ours."""
    client = parse_client(transaction.session.client)
    if client is None or client.is_loopback:
        return ""
    return str(client) if client.version == 4 else block_of(client)
