"""Answers kept for their TTL, also the negative ones (RFC 2308) and, briefly, failures (RFC 9520 3.2).

The same question asked by many travels once; the number of questions on the way is bounded, the time each waits too.
A cached answer costs no coroutine. What is kept is bounded in number and in octets, the least used goes first.
"""

from collections import OrderedDict
from functools import partial

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from relaygw.core.question import Answer, AnswerStatus, Question
from relaygw.dns.turns import Turns
from relaygw.interfaces import IResolver

MAX_TTL = 86_400
MAX_NEGATIVE_TTL = 3_600
FAILURE_TTL = 5
_OCTETS_PER_ENTRY = 1024
"""How much `size` entries may hold on average: one hostile answer can have 64 KiB."""

_ROUNDING = 0.001
"""Seconds that a sum of times may be off by."""

_OCTETS_PER_RECORD = 60
"""What one takes besides what it says."""

Key = tuple[str, str]


@attrs.define
class _Entry:
    """`answer` as it was last given, with the time to live it had then. Never is more than `longest` left of it, but by
    a clock that was put back: nobody knows then how old it is."""

    answer: Answer
    expires: float
    longest: float
    weight: int


@implementer(IResolver)
class CachingResolver:
    """`size` answers are kept, `concurrency` questions are on their way at most, each answered in `timeout` seconds."""

    def __init__(
        self,
        inner: IResolver,
        clock: IReactorTime,
        *,
        size: int = 50_000,
        timeout: float = 11.0,
        concurrency: int = 300,
    ) -> None:
        self._inner = inner
        self._clock = clock
        self._size = size
        self._timeout = timeout
        self._turns = Turns(concurrency)
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self._weight = 0
        self._flights: dict[Key, _Flight] = {}

    def ask(self, question: Question) -> Deferred[Answer]:
        """The answer, at once where it is known. Cancelling ends the question where nobody else waits for it."""
        key = _key(question)
        known = self._known(key)
        if known is not None:
            return succeed(known)
        return self._fly(key)

    def known(self, question: Question) -> Answer | None:
        """The answer where asking costs nothing, None where it would have to be waited for."""
        return self._known(_key(question))

    def _fly(self, key: Key) -> Deferred[Answer]:
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(self, key)
            waiter = flight.join()
            flight.start(Question(*key))
            return waiter
        return flight.join()

    def is_asked(self, question: Question) -> bool:
        """Whether the answer is on its way to somebody, who may be joined."""
        return _key(question) in self._flights

    def close(self) -> None:
        """End all questions on their way; whoever waits reads a failure."""
        for flight in list(self._flights.values()):
            flight.land(_failure("the resolver is closed"), keep=False)

    def _known(self, key: Key) -> Answer | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        left = entry.expires - self._clock.seconds()
        if not 0 < left <= entry.longest:
            del self._entries[key]
            self._weight -= entry.weight
            return None
        self._entries.move_to_end(key)
        rest = min(entry.answer.ttl, int(left))
        answer = entry.answer
        if rest != answer.ttl:
            # Made anew, as that is several times quicker than to evolve it; it serves all who ask within this second.
            answer = entry.answer = Answer(
                status=answer.status,
                records=answer.records,
                ttl=rest,
                authentic=answer.authentic,
                reason=answer.reason,
                canonical=answer.canonical,
            )
        return answer

    def _keep(self, key: Key, answer: Answer) -> None:
        lifetime = _lifetime(answer)
        if lifetime <= 0:
            return
        entry = _Entry(answer, self._clock.seconds() + lifetime, lifetime + _ROUNDING, _weight(key, answer))
        replaced = self._entries.pop(key, None)
        self._entries[key] = entry
        self._weight += entry.weight - (replaced.weight if replaced else 0)
        while len(self._entries) > self._size or self._weight > self._size * _OCTETS_PER_ENTRY:
            _, oldest = self._entries.popitem(last=False)
            self._weight -= oldest.weight

    async def _fetch(self, question: Question) -> Answer:
        try:
            return _capped(await self._turns.run(partial(self._inner.ask, question)))
        except Exception as error:  # a resolver of a stranger's; a bug must not look like a decision
            return _failure(f"{type(error).__name__}: {error}"[:300])


class _Flight:
    """One question on its way, and all who wait for it."""

    def __init__(self, home: CachingResolver, key: Key) -> None:
        self._home = home
        self._key = key
        self._waiters: list[Deferred[Answer]] = []
        self._task: Deferred[Answer] | None = None
        self._timer = home._clock.callLater(home._timeout, self._expire)

    def start(self, question: Question) -> None:
        self._task = Deferred.fromCoroutine(self._home._fetch(question))
        self._watching = self._task.addCallbacks(self.land, self._lost)

    def join(self) -> Deferred[Answer]:
        waiter: Deferred[Answer] = Deferred(self._leave)
        self._waiters.append(waiter)
        return waiter

    def _leave(self, waiter: Deferred[Answer]) -> None:
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        if not self._waiters:
            self._finish()

    def _expire(self) -> None:
        self.land(_failure(f"no answer within {self._home._timeout:g} s"))

    def _lost(self, failure: Failure) -> None:
        """The task was cancelled by us, or ended in a way that no answer stands for."""
        self.land(_failure(f"{failure.type.__name__ if failure.type else 'unknown'}"), keep=False)

    def land(self, answer: Answer, *, keep: bool = True) -> None:
        """The answer is there: once, whatever comes later."""
        if not self._finish():
            return
        if keep:
            self._home._keep(self._key, answer)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.called:  # what one of them led to may have made another give up
                waiter.callback(answer)

    def _finish(self) -> bool:
        """Leave the list of flights and end the task; False where that was done before."""
        if self._home._flights.get(self._key) is not self:
            return False
        del self._home._flights[self._key]
        if self._timer.active():
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
        return True


def _key(question: Question) -> Key:
    return question.name.lower().removesuffix("."), question.type


def _failure(reason: str) -> Answer:
    return Answer(status=AnswerStatus.FAILED, reason=reason)


def _lifetime(answer: Answer) -> int:
    if answer.status is AnswerStatus.FAILED:
        return FAILURE_TTL
    return min(answer.ttl, MAX_TTL if answer.status is AnswerStatus.FOUND else MAX_NEGATIVE_TTL)


def _capped(answer: Answer) -> Answer:
    """The answer as it will be kept: what others make of it lives no longer than it does."""
    lifetime = _lifetime(answer)
    return answer if answer.ttl <= lifetime else attrs.evolve(answer, ttl=lifetime)


def _weight(key: Key, answer: Answer) -> int:
    """Octets of memory, roughly: thousands of records may have an octet or two each."""
    records = sum(len(record) if isinstance(record, bytes | str) else 100 for record in answer.records)
    return 300 + len(key[0]) + records + _OCTETS_PER_RECORD * len(answer.records)
