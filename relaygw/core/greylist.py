"""Greylisting (RFC 6647): whether a triplet of client, sender and recipient has waited long enough.

A stranger's first attempt is asked to come back; who comes back in time passes, and is remembered. A block of clients
that came back often enough is known, and waits no more. Pure: what was seen goes in, the ruling and what is to be
remembered comes out.
"""

import re

import attrs

from relaygw.core.address import Address
from relaygw.core.client import IPAddress, block_of

NEWS = 3600.0
"""Seconds after which another sign of life is worth writing down."""

_PRVS = re.compile(r"(?:prvs|btv1)=[^=]*=+")
_DIGITS = re.compile(r"\d+")


@attrs.frozen(kw_only=True)
class Policy:
    """`delay`: how long a triplet has to wait. `window`: how long after its first attempt it may pass. `remember`: how
    long it is known after it was last heard of. A block of clients is known after `passes` triplets that passed, 0:
    never; those that pass within one `delay` count once. All times in seconds."""

    delay: float
    window: float
    remember: float
    passes: int


@attrs.frozen
class Triplet:
    """`client` is a block of addresses."""

    client: str
    sender: str
    recipient: str


@attrs.frozen(kw_only=True)
class Seen:
    """What is remembered of a triplet: its first attempt, the last one that passed (`first` before that)."""

    first: float
    last: float
    passed: bool


@attrs.frozen(kw_only=True)
class Known:
    """What is remembered of a block of clients: how many triplets passed, and when it was last heard of."""

    passes: int
    last: float


@attrs.frozen(kw_only=True)
class Ruling:
    """`wait` in seconds, 0.0: pass. `seen` and `known` are to be remembered, None: as they are."""

    wait: float = 0.0
    reason: str = ""
    seen: Seen | None = None
    known: Known | None = None


def triplet_of(client: IPAddress, sender: Address | None, recipient: Address) -> Triplet:
    return Triplet(block_of(client), sender_key(sender), f"{recipient.local.lower()}@{recipient.domain}")


def sender_key(sender: Address | None) -> str:
    """The sender without what changes from message to message: signed (BATV) and numbered (VERP) parts, extensions."""
    if sender is None:
        return "<>"
    local = _PRVS.sub("", sender.local.lower(), count=1) if "=" in sender.local else sender.local.lower()
    local = local.partition("+")[0] or local
    return f"{_DIGITS.sub('#', local)}@{sender.domain}"


def rule(policy: Policy, seen: Seen | None, known: Known | None, now: float) -> Ruling:
    """The ruling on one attempt. A clock that stepped back makes an attempt a first one, never a long wait."""
    known = known if known is not None and _fresh(known.last, policy.remember, now) else None
    if policy.passes and known is not None and known.passes >= policy.passes:
        return Ruling(reason="known client", known=attrs.evolve(known, last=now) if now - known.last >= NEWS else None)
    if seen is not None and seen.passed and _fresh(seen.last, policy.remember, now):
        news = now - seen.last >= NEWS
        return Ruling(reason="known triplet", seen=attrs.evolve(seen, last=now) if news else None)
    if seen is None or seen.passed or not _fresh(seen.first, policy.window, now):
        return Ruling(wait=policy.delay, reason="first attempt", seen=Seen(first=now, last=now, passed=False))
    left = seen.first + policy.delay - now
    if left > 0:
        return Ruling(wait=left, reason="too early")
    return Ruling(
        reason=f"came back after {now - seen.first:.0f} s",
        seen=Seen(first=seen.first, last=now, passed=True),
        known=_counted(policy, known, now),
    )


def _fresh(moment: float, lifetime: float, now: float) -> bool:
    return 0 <= now - moment <= lifetime


def _counted(policy: Policy, known: Known | None, now: float) -> Known | None:
    if known is None:
        return Known(passes=1, last=now)
    return Known(passes=known.passes + 1, last=now) if now - known.last >= policy.delay else None
