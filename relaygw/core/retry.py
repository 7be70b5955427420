"""When to try again, when to warn, when to give up. Times are POSIX seconds; the random part is an argument.

The waits follow the attempts in turn and the last one repeats. One attempt always falls on the moment of the delay
warning and one on the moment of expiry, so that the sender is told on time and with a fresh reason.
"""

import attrs

JITTER = 0.1
"""A wait is lengthened by up to this part of itself, so that messages deferred together do not return together."""


@attrs.frozen(kw_only=True)
class Schedule:
    """`waits` after attempt 1, 2 …; `expire` and `expire_reports` (null reverse-path) count from arrival.

    `delay_warning` 0 means that nobody is warned.
    """

    waits: tuple[float, ...]
    expire: float
    expire_reports: float
    delay_warning: float

    def expiry(self, arrived: float, is_report: bool) -> float:
        """The moment after which a deferral is final; what nobody may be told about is given up sooner."""
        return arrived + (min(self.expire, self.expire_reports) if is_report else self.expire)

    def warning(self, arrived: float) -> float:
        """The moment from which a deferral is worth a warning (infinity: never)."""
        return arrived + self.delay_warning if self.delay_warning > 0 else float("inf")

    def wait(self, attempts: int, random: float) -> float:
        """How long to wait after this many attempts; `random` in [0, 1)."""
        if not self.waits:
            return self.expire
        return self.waits[min(attempts, len(self.waits)) - 1] * (1 + JITTER * random)


def next_due(now: float, wait: float, *moments: float) -> float:
    """`now` + `wait`, or the first of the moments that lies in between."""
    return min([now + wait, *(moment for moment in moments if moment > now)])
