"""How much a destination bears, learned from what comes back: how many attempts at once, and when it must rest.

As in Postfix's scheduler: each answer of a living destination adds 1/N to a counter and each sign that it cannot be
reached takes 1/N away, N being the present limit; a whole step of the counter changes the limit by one, so that it
moves after about as many answers as there are attempts in flight. When about a whole cohort of attempts has failed
without one success, the destination is dead: it rests, longer each time, and one attempt then probes it.
Time is an argument.
"""

import attrs

STEP = 1.0
"""How far a counter must move before the limit does."""

COHORTS = 1.0
"""Cohorts of failures that make a destination dead."""


@attrs.frozen(kw_only=True)
class Care:
    """`initial` and `most` attempts at once; rests begin with `rest` seconds and double up to `longest_rest`."""

    initial: int = 5
    most: int = 20
    rest: float = 300.0
    longest_rest: float = 3600.0


@attrs.define(kw_only=True)
class Health:
    """What is known of one destination. `window` is the number of attempts it bears at once."""

    window: float
    gained: float = 0.0
    lost: float = 0.0
    cohorts: float = 0.0
    rests: int = 0
    resting_until: float = 0.0
    probing: bool = False
    reason: str = ""

    def limit(self, care: Care) -> int:
        """Attempts at once, now that it does not rest."""
        if self.probing:
            return 1
        return int(self.window) if self.window < care.most else care.most

    def answered(self, care: Care, running: int) -> None:
        """The destination lives, whatever it said about the message. `running` counts the attempt that ended.

        The limit follows use: it does not grow far beyond what was tried.
        """
        self.cohorts = 0.0
        if self.probing or self.rests:
            self.probing, self.rests, self.resting_until, self.reason = False, 0, 0.0, ""
            self.window, self.gained, self.lost = float(min(care.initial, care.most)), 0.0, 0.0
            return
        if self.window >= care.most or self.window >= running + care.initial:
            return
        self.gained += 1.0 / self.window
        while self.gained >= STEP - 1e-9:
            self.gained -= STEP
            self.window = min(self.window + 1.0, float(care.most))
            self.lost = 0.0

    def unreachable(self, care: Care, now: float, reason: str) -> bool:
        """An attempt did not get through to it; answers whether it rests from now on."""
        if self.resting_until > now:
            return False  # begun before the rest: that is known already
        self.cohorts += 1.0 / max(self.window, 1.0)
        self.reason = reason
        if self.probing or self.cohorts >= COHORTS - 1e-9:
            self.rest(now, min(care.rest * 2**self.rests, care.longest_rest), reason)
            return True
        self.lost -= 1.0 / self.window
        while self.lost < -1e-9 and self.window > 1:
            self.lost += STEP
            self.window -= 1.0
            self.gained = 0.0
        return False

    def rest(self, now: float, seconds: float, reason: str) -> None:
        """Nothing is attempted for so long; then one attempt probes it."""
        self.rests = min(self.rests + 1, 30)
        self.resting_until = max(self.resting_until, now + seconds)
        self.probing = True
        self.reason = reason
        self.cohorts = self.gained = self.lost = 0.0

    def spare_no_more(self, now: float) -> None:
        """Somebody knows better: the next attempt probes it. If that fails, it rests as long as it would have."""
        if self.resting_until > now:
            self.resting_until = now
            self.rests -= 1

    def halve(self) -> None:
        """It asked us to be slower."""
        self.window = max(1.0, self.window // 2)
        self.gained = self.lost = 0.0
