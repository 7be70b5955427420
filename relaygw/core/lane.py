"""One destination of the scheduler: what it bears at once, at which pace, and in sentences why no more of it starts.

Time is an argument, in seconds.
"""

from collections.abc import Iterator

import attrs

from relaygw.core.health import Health
from relaygw.core.shaping import Destination, Shape

BURST = 1.0
"""Seconds' worth of messages that a paced destination gets at once, and at least one."""


@attrs.define(eq=False, kw_only=True)
class Lane:
    """One destination. `tokens` at the moment `since` are what its pace allows; `seconds` is how long attempts take.
    `used`: something has entered since it was last looked whether it may be forgotten."""

    shape: Shape
    health: Health
    running: int = 0
    tokens: float = 1.0
    since: float = 0.0
    slow_until: float = 0.0
    slow_reason: str = ""
    seconds: float = 1.0
    alarm: bool = False
    used: bool = True

    @property
    def pace(self) -> float:
        """Messages in a second; 0 is no limit."""
        return self.shape.messages_per_minute / 60.0

    def earliest(self, now: float) -> float:
        """When the next attempt may start, but for those that run."""
        resting = self.health.resting_until
        return max(resting, self._paced(now)) if self.shape.messages_per_minute else resting

    def _paced(self, now: float) -> float:
        pace = self.pace
        if not pace:
            return 0.0
        if now > self.since:
            self.tokens = min(self.tokens + (now - self.since) * pace, max(1.0, pace * BURST))
            self.since = now
        return self.since if self.tokens >= 1.0 - 1e-6 else self.since + (1.0 - self.tokens) / pace

    def put_back(self, seconds: float) -> None:
        """All times are, by so much."""
        self.since -= seconds
        self.slow_until -= seconds
        self.health.resting_until -= seconds

    @property
    def limit(self) -> int:
        return self.health.limit(self.shape.care)

    def begin(self, now: float) -> None:
        self.running += 1
        if self.shape.messages_per_minute:
            self._paced(now)
            self.tokens -= 1.0


@attrs.frozen(kw_only=True)
class Standing:
    """How a destination stands, for people. `why` is "" where nothing holds it back."""

    destination: Destination
    running: int
    waiting: int
    limit: int
    resting_until: float
    probing: bool
    why: str
    layers: tuple[str, ...]


def reasons(lane: Lane, now: float) -> Iterator[str]:
    """Every throttle in a sentence."""
    health, shape = lane.health, lane.shape
    if health.resting_until > now:
        yield f"It rests for {duration(health.resting_until - now)}, then one attempt probes it: {health.reason}."
        return
    if health.probing:
        yield f"One attempt probes it after a rest; nothing else is attempted meanwhile: {health.reason}."
    elif health.cohorts:
        yield f"Attempts have failed to get through lately: {health.reason}."
    if lane.slow_until > now:
        yield f"It is kept slow for {duration(lane.slow_until - now)}: {lane.slow_reason}."
    if lane.running >= lane.limit and not health.probing:
        word = "configured" if lane.limit >= shape.care.most else "present"
        yield f"Its {word} limit of {lane.limit} at once is reached."
    if shape.messages_per_minute and lane.earliest(now) > now:
        yield f"Its pace is {shape.messages_per_minute} messages a minute."


def duration(seconds: float) -> str:
    """For people: "5 minutes"."""
    for size, word in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {word}s"
    return f"{max(seconds, 0):.0f} seconds"
