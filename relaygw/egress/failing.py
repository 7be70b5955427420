"""Addresses that did not answer lately: they are tried after all others until their time is over, and then by one
attempt first, so that a dead host costs one message a delay and not each of them. Bounded, in memory only.
"""

from collections import OrderedDict
from typing import Any

import attrs

FIRST, LONGEST = 30.0, 600.0
"""Seconds an address is passed over: after its first failure, doubled with each further one, and at most."""

MAX_KNOWN = 10_000

Place = tuple[str, int]
"""Address and port."""


@attrs.define
class _Failure:
    until: float
    wait: float
    probed: bool = False


class FailingHosts:
    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._known: OrderedDict[Place, _Failure] = OrderedDict()

    def failed(self, place: Place) -> None:
        """No session came about."""
        known = self._known.pop(place, None)
        now = self._clock.seconds()
        if known is not None and known.until > now and not known.probed:
            self._known[place] = known  # attempts that began together count once
            return
        wait = min(known.wait * 2, LONGEST) if known is not None else FIRST
        self._known[place] = _Failure(now + wait, wait)
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)

    def answered(self, place: Place) -> None:
        self._known.pop(place, None)

    def avoided(self, place: Place) -> bool:
        """Whether it comes last. Changes nothing: for order and for reports."""
        known = self._known.get(place)
        return known is not None and known.until > self._clock.seconds()

    def probing(self, place: Place) -> None:
        """An attempt goes there now. Where the time is just over, the others wait for what it finds out."""
        known = self._known.get(place)
        now = self._clock.seconds()
        if known is not None and known.until <= now:
            known.until, known.probed = now + FIRST, True
