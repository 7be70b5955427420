"""What a transport answered, matched to the recipients it was asked about: one outcome for each of them, whatever
a plugin made of its answer."""

from collections.abc import Callable, Sequence
from typing import Any, cast

from relaygw.core.outcome import Outcome, Status, deferred
from relaygw.core.record import Record
from relaygw.core.reply import Reply

_LOST = "the mail system lost the answer; it tries again"


def matched(
    outcomes: Sequence[Outcome], record: Record, positions: Sequence[int], complain: Callable[[str], None]
) -> tuple[tuple[int, Outcome], ...]:
    """The outcomes by position. The usual answer, one each in order, is recognized first; what is wrong with another is
    told to `complain`."""
    states = [record.recipients[at] for at in positions]
    try:
        in_order = [outcome.recipient for outcome in outcomes] == [state.address for state in states]
        if in_order and all(map(_is_sound, outcomes)):
            return tuple(zip(positions, outcomes, strict=True))
        by_address = {outcome.recipient: outcome for outcome in map(_mended, outcomes) if outcome is not None}
    except (TypeError, AttributeError):
        by_address = {}
    if by_address.keys() != {state.address for state in states} or not all(map(_is_sound, outcomes)):
        complain(f"answered {outcomes!r:.300} for {len(states)} recipients")
    return tuple(
        (at, by_address.get(state.address) or deferred(state.address, "4.3.0", _LOST))
        for at, state in zip(positions, states, strict=True)
    )


def _is_sound(outcome: Any) -> bool:
    """Whether it is what a plugin's types say: nothing else can be judged, stored or reported."""
    reply = outcome.reply
    return (
        isinstance(outcome, Outcome)
        and isinstance(outcome.status, Status)
        and isinstance(reply, Reply)
        and isinstance(reply.code, int)
        and isinstance(reply.enhanced, str)
        and isinstance(reply.text, str)
    )


def _mended(outcome: Any) -> Outcome | None:
    """What can be believed of it. A delivery is one whatever was said of it: it must not be repeated."""
    if _is_sound(outcome):
        return cast(Outcome, outcome)
    if isinstance(outcome, Outcome) and outcome.status is Status.DELIVERED:
        return Outcome(recipient=outcome.recipient, status=Status.DELIVERED, reply=Reply(250, "2.0.0", "delivered"))
    return None
