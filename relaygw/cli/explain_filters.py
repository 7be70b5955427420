"""What the filters make of a message that might come: those that only look are asked as the service asks them, with
their options, on the listener they are for, in their order; what they would do in the end is told.

Those that remember (greylisting, rates, lists of the DNS) are named and not asked.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import attrs

from relaygw.control.shapes import Json

if TYPE_CHECKING:
    from relaygw.config.schema import Config, FilterConfig
    from relaygw.core.content import Content
    from relaygw.core.envelope import Envelope
    from relaygw.core.events import Event
    from relaygw.core.session import Session
    from relaygw.filters.chain import Chain, ChainResult
    from relaygw.interfaces import Services

HERE = frozenset({"spf", "dkim", "dmarc", "arc", "iprev"})
"""Filters that are asked."""


@attrs.frozen(kw_only=True)
class Judgement:
    """`action` is "refuse", "defer", "discard" or "", and `reason` why. Of what is let in, `held` says what for it is
    held, or is "" (of what is in quarantine, `besides` what else), and `findings` are those that routes can match."""

    action: str = ""
    reason: str = ""
    held: str = ""
    quarantined: bool = False
    besides: str = ""
    findings: tuple[str, ...] = ()


async def judge(
    session: "Session",
    envelope: "Envelope",
    content: "Content",
    config: "Config",
    services: "Services",
    steps: list[Json],
) -> Judgement:
    """Raises UsageError for filters that cannot be made."""
    from relaygw.cli.answer import UsageError
    from relaygw.filters.chain import Chain
    from relaygw.filters.uses import build_uses, is_for
    from relaygw.plugins import PluginError

    here = [each for each in config.filters if is_for(each.listeners, session)]
    try:
        # Without a state directory nothing is kept of what is found.
        uses = build_uses([each for each in here if each.use in HERE], attrs.evolve(services, state=""))
    except PluginError as error:
        raise UsageError(str(error)) from None
    events: list[Event] = []
    found = await _ask(Chain(uses, services.reactor, events.append), session, envelope, content)
    steps += _steps(here, events, found.filter)
    return _judgement(found)


async def _ask(chain: "Chain", session: "Session", envelope: "Envelope", content: "Content") -> "ChainResult":
    """What is found in all phases up to that which refuses."""
    from relaygw.bridge import resolve
    from relaygw.core.envelope import Envelope
    from relaygw.core.session import Transaction
    from relaygw.core.verdict import Action, Phase
    from relaygw.filters.chain import UNTOUCHED

    found = UNTOUCHED
    for phase, shown, seen in (
        (Phase.CONNECT, Envelope(sender=None), None),
        (Phase.MAIL, attrs.evolve(envelope, recipients=()), None),
        (Phase.DATA, envelope, content),
    ):
        transaction = Transaction(session=session, envelope=shown, content=seen, results=found.results)
        result = await resolve(chain.ask(phase, transaction))
        if result.action in (Action.REJECT, Action.DEFER):
            return result
        found = found.then(result)
    return found


def _steps(here: "Iterable[FilterConfig]", events: "Iterable[Event]", decider: str) -> Iterator[Json]:
    """What each filter says, in the order of the file."""
    told = dict(map(_words, events))
    for use in here:
        name = use.name or use.use
        if use.use not in HERE:
            silent = "it is not asked here"
        else:
            silent = f"it says nothing, or comes after {decider}" if decider else "it says nothing of such a client"
        yield {"step": f"filter {name}", "matched": name in told, "why": told.get(name, silent)}


def _words(event: "Event") -> tuple[str, str]:
    from relaygw.core.events import FilterBroke, Judged

    if isinstance(event, FilterBroke):
        return event.filter, f"it fails ({event.on_error}): {event.error}"
    assert isinstance(event, Judged)
    action = "" if event.action == "pass" else f"; {event.action}"
    return event.filter, f"{event.reason}{action}{', in shadow mode, without effect' if event.shadow else ''}"


def _judgement(found: "ChainResult") -> Judgement:
    from relaygw.core.verdict import Action

    findings = dict.fromkeys(f"{each.method}={each.result}".lower() for each in found.auth)
    word = {Action.REJECT: "refuse", Action.DEFER: "defer", Action.DISCARD: "discard"}.get(found.action, "")
    if word:
        return Judgement(action=word, reason=f"{found.filter}: {found.verdict.reply or found.verdict.reason}")
    return Judgement(
        held=f"quarantine: {found.quarantine}" if found.quarantine else found.hold,
        quarantined=bool(found.quarantine),
        besides=found.hold if found.quarantine else "",
        findings=tuple(findings),
    )
