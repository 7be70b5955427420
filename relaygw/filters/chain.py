"""The filter chain: in each phase every filter that wants it is asked, in the order of the configuration.

REJECT, DEFER and DISCARD end the walk; QUARANTINE and HOLD mark the message and the walk goes on, so that a later
filter may still refuse it. A filter that raises, runs out of time or answers something that is no verdict is turned
into its `on_error` and journaled; what it would have said of the sender is told as temperror. The chain never grants
relaying and never changes the mail.

While all filters of a phase answer at once, `ask` is a plain call; a Deferred exists only where one has to wait.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from relaygw.bridge import is_later
from relaygw.core.events import Event, FilterBroke, Judged
from relaygw.core.reply import Reply
from relaygw.core.session import Role, Transaction
from relaygw.core.verdict import PASS, Action, AuthResult, Phase, Verdict, flaw
from relaygw.filters.uses import Mode, OnError, Use
from relaygw.filters.waiting import Abandoned, Waiting
from relaygw.interfaces import IAuthenticating, IObserver

_DECISIVE = frozenset({Action.REJECT, Action.DEFER, Action.DISCARD})


@attrs.frozen(kw_only=True)
class ChainResult:
    """What the chain says in one phase, or (`then`) in all phases so far.

    `verdict.action` is PASS, REJECT, DEFER or DISCARD; for REJECT and DEFER `verdict.reply` is always set, and is what
    the peer reads. `filter` names the filter that decided. `fields` and `auth` are those of all filters asked, in
    order; `results` what they found, by name. `quarantine` and `hold` are the reasons, "" when not asked for. DISCARD:
    answer as if accepted and throw away what was asked about.
    """

    verdict: Verdict = PASS
    filter: str = ""
    fields: tuple[bytes, ...] = ()
    auth: tuple[AuthResult, ...] = ()
    results: Mapping[str, object] = attrs.field(factory=dict)
    quarantine: str = ""
    hold: str = ""

    @property
    def action(self) -> Action:
        return self.verdict.action

    def then(self, later: "ChainResult") -> "ChainResult":
        """This phase's findings joined by a later phase's; a decision already taken stays."""
        if later is UNTOUCHED:
            return self
        if self is UNTOUCHED:
            return later
        decided = self if self.action in _DECISIVE else later
        return ChainResult(
            verdict=decided.verdict,
            filter=decided.filter,
            fields=self.fields + later.fields,
            auth=self.auth + later.auth,
            results={**self.results, **later.results},
            quarantine=self.quarantine or later.quarantine,
            hold=self.hold or later.hold,
        )


UNTOUCHED = ChainResult()
"""Nobody had anything to say."""


class Chain:
    """All uses of filters of one configuration.

    `clock` measures the timeouts; `write_event` is the journal's. One chain serves all listeners and sessions.
    """

    def __init__(self, uses: Sequence[Use], clock: IReactorTime, write_event: Callable[[Event], None]) -> None:
        self.uses = tuple(uses)
        self._clock = clock
        self._write_event = write_event
        self._plans: dict[tuple[Phase, str, Role], tuple[Use, ...]] = {}

    def ask(self, phase: Phase, transaction: Transaction) -> "ChainResult | Deferred[ChainResult]":
        """The chain's result, at once where no filter has to wait, otherwise a Deferred that never fails but by cancel.

        In phases connect and hello the transaction has an empty envelope (sender None, no recipients). Cancel the
        Deferred when the client has gone: the filter being waited for is cancelled, nothing more is asked or journaled.
        """
        plan = self._plan(phase, transaction)
        if not plan:
            return UNTOUCHED
        for position, use in enumerate(plan):
            answer = _question(use, phase, transaction)
            if answer is not PASS:
                walk = _Walk(phase, transaction, self._write_event)
                return self._ask_on(walk, plan[position:], answer)
        return UNTOUCHED

    def telling(self, listener: str, role: Role) -> Callable[[Event], None]:
        """Where a listener's sessions write their events: the journal, and the filters that observe them."""
        observers = [
            (use.name, use.filter)
            for use in self.uses
            if use.covers(listener, role) and IObserver.providedBy(use.filter)
        ]
        if not observers:
            return self._write_event

        def tell(event: Event) -> None:
            self._write_event(event)
            for name, observer in observers:
                try:
                    observer.observe(event)
                except Exception as error:
                    self._write_event(_unobserved(name, event, error))

        return tell

    def _plan(self, phase: Phase, transaction: Transaction) -> tuple[Use, ...]:
        """The uses to ask; remembered, as there are only as many answers as listeners."""
        session = transaction.session
        key = (phase, session.listener, session.role)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = tuple(use for use in self.uses if use.wants(phase, session))
        return plan

    def _ask_on(self, walk: "_Walk", plan: tuple[Use, ...], answer: object) -> "ChainResult | Deferred[ChainResult]":
        """Go on with the walk from somebody who had something to say; `answer` is that of the first use of `plan`."""
        for position, use in enumerate(plan):
            current = walk.question(use) if position else answer
            if type(current) is not Verdict and is_later(current):
                return Deferred.fromCoroutine(self._ask_later(walk, plan[position:], current))
            if walk.take(use, current):
                break
        return walk.result()

    async def _ask_later(self, walk: "_Walk", plan: tuple[Use, ...], answer: Awaitable[object]) -> ChainResult:
        """Go on with the walk where it has to wait; `answer` is that of the first use of `plan`."""
        for use in plan:
            current: object = answer if use is plan[0] else walk.question(use)
            if is_later(current):
                current = await self._wait(use, current)
            if walk.take(use, current):
                break
        return walk.result()

    async def _wait(self, use: Use, answer: Awaitable[object]) -> object:
        try:
            return await Waiting(self._clock, answer, use.timeout).outcome
        except Abandoned:
            raise
        except Exception as error:
            return error


class _Walk:
    """One phase of one transaction being asked about: what was found so far."""

    def __init__(self, phase: Phase, transaction: Transaction, write_event: Callable[[Event], None]) -> None:
        self._phase = phase
        self._transaction = transaction
        self._write_event = write_event
        self._touched = False
        self._verdict = PASS
        self._decider = ""
        self._fields: tuple[bytes, ...] = ()
        self._auth: tuple[AuthResult, ...] = ()
        self._results: dict[str, object] = {}
        self._untold = False
        self._quarantine = ""
        self._hold = ""

    def result(self) -> ChainResult:
        if not self._touched:
            return UNTOUCHED
        return ChainResult(
            verdict=self._verdict,
            filter=self._decider,
            fields=self._fields,
            auth=self._auth,
            results=self._results,
            quarantine=self._quarantine,
            hold=self._hold,
        )

    def question(self, use: Use) -> object:
        """What the filter answers that is shown what those before it have found."""
        if self._untold:
            self._untold = False
            self._transaction = _with_results(self._transaction, self._results)
        return _question(use, self._phase, self._transaction)

    def take(self, use: Use, answer: object) -> bool:
        """Work the answer of one filter in; True where it decides."""
        if answer is PASS:
            return False
        error = flaw(answer) if isinstance(answer, Verdict) else _misuse(answer)
        if error or not isinstance(answer, Verdict):
            verdict = self._failed(use, error)
        else:
            verdict = answer
            self._journal(use, verdict)
        if use.mode is Mode.SHADOW or verdict is PASS:
            return False
        self._keep(use, verdict)
        return verdict.action in _DECISIVE

    def _failed(self, use: Use, error: str) -> Verdict:
        """The verdict that a failure stands for (unknown failure is temporary, unless configured otherwise)."""
        shadow = use.mode is Mode.SHADOW
        consequence = OnError.SKIP if shadow else use.on_error
        session, queue_id = self._transaction.session.id, self._transaction.queue_id
        reason, told = f"filter {use.name} failed", _unknown(use)
        self._write_event(
            FilterBroke(
                session=session,
                queue_id=queue_id,
                filter=use.name,
                phase=self._phase.value,
                error=error,
                on_error=consequence.value,
                found=_found(told),
            )
        )
        if consequence is OnError.DEFER:
            reply = Reply(451, "4.3.0", "Temporary failure, try again")
            return Verdict(action=Action.DEFER, reason=reason, reply=reply, auth=told)
        if consequence is OnError.QUARANTINE:
            return Verdict(action=Action.QUARANTINE, reason=reason, auth=told)
        return Verdict(auth=told) if told else PASS

    def _journal(self, use: Use, verdict: Verdict) -> None:
        if not verdict.reason and verdict == PASS:
            return
        transaction = self._transaction
        recipient = transaction.recipient
        self._write_event(
            Judged(
                session=transaction.session.id,
                queue_id=transaction.queue_id,
                filter=use.name,
                phase=self._phase.value,
                action=verdict.action.value,
                reason=verdict.reason,
                recipient=str(recipient.address) if recipient is not None else "",
                shadow=use.mode is Mode.SHADOW,
                found=_found(verdict.auth),
            )
        )

    def _keep(self, use: Use, verdict: Verdict) -> None:
        self._touched = True
        self._fields += verdict.fields
        self._auth += verdict.auth
        if verdict.result is not None:
            self._results[use.name] = verdict.result
            self._untold = True
        action = verdict.action
        if action in _DECISIVE:
            self._verdict, self._decider = _with_reply(verdict, self._phase), use.name
        elif action is Action.QUARANTINE:
            self._quarantine = self._quarantine or verdict.reason or f"filter {use.name}"
        elif action is Action.HOLD:
            self._hold = self._hold or verdict.reason or f"filter {use.name}"


def _question(use: Use, phase: Phase, transaction: Transaction) -> object:
    """What the filter answers: meant to be a Verdict or an awaitable of one; an exception where it raised."""
    try:
        return use.filter.check(phase, transaction)
    except Exception as error:
        return error


def _with_results(transaction: Transaction, results: Mapping[str, object]) -> Transaction:
    """Made anew, as that is several times quicker than to evolve it."""
    return Transaction(
        session=transaction.session,
        envelope=transaction.envelope,
        queue_id=transaction.queue_id,
        recipient=transaction.recipient,
        content=transaction.content,
        results={**transaction.results, **results},
    )


def _unknown(use: Use) -> tuple[AuthResult, ...]:
    """What a filter that broke would have found out cannot be told now (RFC 8601 2.7: temperror)."""
    if not IAuthenticating.providedBy(use.filter):
        return ()
    return tuple(
        AuthResult(method=method, result="temperror", reason="the check failed") for method in use.filter.methods
    )


def _found(results: Iterable[AuthResult]) -> tuple[str, ...]:
    return tuple([f"{each.method}={each.result}" for each in results])


def _unobserved(name: str, event: Event, error: Exception) -> FilterBroke:
    return FilterBroke(
        session=event.session,
        queue_id=event.queue_id,
        filter=name,
        phase=type(event).__name__.lower(),
        error=f"{type(error).__name__}: {error}"[:500],
        on_error=OnError.SKIP.value,
    )


def _misuse(answer: object) -> str:
    """What is wrong with an answer that is no verdict."""
    if isinstance(answer, Exception):
        return f"{type(answer).__name__}: {answer}"[:500]
    return f"answered {type(answer).__name__} where a Verdict is wanted"


def _with_reply(verdict: Verdict, phase: Phase) -> Verdict:
    """The verdict with the chain's default reply where the filter gave none (RFC 5321 3.1 for the greeting)."""
    if verdict.reply is not None or verdict.action is Action.DISCARD:
        return verdict
    if verdict.action is Action.DEFER:
        reply = Reply(421 if phase is Phase.CONNECT else 451, "4.7.1", "Try again later")
    else:
        reply = Reply(554 if phase is Phase.CONNECT else 550, "5.7.1", "Refused by local policy")
    return attrs.evolve(verdict, reply=reply)
