"""Rates: how much one key (a client, a login, a sender …) did lately, and whether one more thing still fits.

Two ways to count, both with constant memory per key. LEAKY is a bucket of `count` that empties evenly within `period`:
a key may do `count` things at once, and on average no more than `count` in a period. STRICT is a window that begins
with the first thing counted: at most `count` until it ends. In both, what is refused is not counted, and a thing that
is larger than the whole limit passes where nothing else is counted yet, since waiting would never help it.

Time is an argument, in seconds; it may stand still or step back, which counts as no time passed: from then on it passes
again.
"""

import enum
from collections import OrderedDict

import attrs

_ROUNDING = 1e-6
"""Seconds that do not count: nobody who waited as long as he was told waits again for a rounding."""


class Counting(enum.Enum):
    LEAKY = "leaky"
    STRICT = "strict"


@attrs.frozen(kw_only=True)
class Limit:
    """`count` things of weight 1 within `period` seconds."""

    count: float = attrs.field(validator=attrs.validators.gt(0))
    period: float = attrs.field(validator=attrs.validators.gt(0))
    counting: Counting = Counting.LEAKY

    @property
    def pace(self) -> float:
        """How much leaks in a second."""
        return self.count / self.period


@attrs.frozen
class Tally:
    """What is counted of one key. LEAKY: the level at the moment `since`. STRICT: the sum since `since`."""

    level: float
    since: float


def current(limit: Limit, tally: Tally | None, now: float) -> Tally:
    """The tally as it stands now; level 0 means that nothing is remembered any more."""
    if tally is None:
        return Tally(0.0, now)
    elapsed = now - tally.since
    if elapsed <= 0:
        return tally if elapsed == 0 else Tally(tally.level, now)
    if limit.counting is Counting.STRICT:
        return tally if elapsed < limit.period - _ROUNDING else Tally(0.0, now)
    level = tally.level - elapsed * limit.pace
    return Tally(level if level > limit.pace * _ROUNDING else 0.0, now)


def wait(limit: Limit, tally: Tally, now: float, weight: float) -> float:
    """Seconds until this much more fits; 0.0 where it fits now. `tally` is `current`."""
    if tally.level + weight <= limit.count + limit.pace * _ROUNDING or tally.level <= 0:
        return 0.0
    if limit.counting is Counting.STRICT:
        return max(0.0, tally.since + limit.period - now)
    surplus = min(tally.level + weight - limit.count, tally.level)
    return surplus / limit.pace


class Counters:
    """One limit for many keys. At most `keys` are remembered: the one unheard of for longest is forgotten first."""

    def __init__(self, limit: Limit, keys: int) -> None:
        self.limit = limit
        self._keys = keys
        self._tallies: OrderedDict[str, Tally] = OrderedDict()

    def __len__(self) -> int:
        return len(self._tallies)

    def wait(self, key: str, now: float, weight: float = 1.0) -> float:
        """Seconds until this much more fits, 0.0 where it fits now. Nothing is counted; the key was heard of."""
        tally = self._tallies.get(key)
        if tally is None:
            return 0.0
        if now < tally.since:  # by a clock that was put back
            tally = self._tallies[key] = current(self.limit, tally, now)
        self._tallies.move_to_end(key)
        return wait(self.limit, current(self.limit, tally, now), now, weight)

    def take(self, key: str, now: float, weight: float = 1.0) -> float:
        """Count it where it fits and answer 0.0; else count nothing and answer the seconds to wait."""
        tally = current(self.limit, self._tallies.get(key), now)
        seconds = wait(self.limit, tally, now, weight)
        self._keep(key, tally if seconds else attrs.evolve(tally, level=tally.level + weight), now)
        return seconds

    def add(self, key: str, now: float, weight: float = 1.0) -> None:
        """Count what has happened already, whether it fits or not; never more than twice the limit."""
        tally = current(self.limit, self._tallies.get(key), now)
        self._keep(key, attrs.evolve(tally, level=min(tally.level + weight, 2 * self.limit.count)), now)

    def _keep(self, key: str, tally: Tally, now: float) -> None:
        self._tallies[key] = tally
        self._tallies.move_to_end(key)
        # Two looked at for each one kept: what has run empty does not stay until there is no more room.
        for _ in range(2):
            oldest = next(iter(self._tallies))
            if len(self._tallies) <= self._keys and current(self.limit, self._tallies[oldest], now).level > 0:
                break
            if oldest == key:
                break
            del self._tallies[oldest]
