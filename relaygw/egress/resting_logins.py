"""Logins that were refused rest for a while: the mail waits, and neither the server nor the token server is bothered
for every message of the queue (some lock an account for that).

A rest belongs to one login at one host: others at the same host go on. It begins with a minute, doubles with each
refusal, and ends with a login that works, or with new credentials (a reload makes everything anew).
"""

from typing import Any

import attrs

from relaygw.core.reply import Reply
from relaygw.egress.broken import Broken, Phase
from relaygw.egress.hop import Login

FIRST, LONGEST = 60.0, 900.0
"""Seconds of the first rest, and of the longest."""


@attrs.frozen
class _Rest:
    until: float
    length: float
    words: str


class RestingLogins:
    """By login and host; `clock` tells seconds."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._rests: dict[tuple[Login, str], _Rest] = {}

    def check(self, login: Login, host: str) -> None:
        """Raises Broken while the login rests."""
        rest = self._rests.get((login, host))
        if rest is None:
            return
        left = rest.until - self._clock.seconds()
        if left > rest.length + 1.0:  # by a clock that was put back meanwhile
            self._rests[login, host] = attrs.evolve(rest, until=self._clock.seconds())
        elif left > 0:
            words = f"{rest.words}; it is not tried again for {left:.0f} s"
            raise Broken(Phase.AUTH, Reply(454, "4.7.8", words))

    def failed(self, login: Login, host: str, failure: Broken) -> None:
        """It rests where the login itself is what was refused; a lost connection says nothing of it."""
        if failure.phase is not Phase.AUTH or failure.remote or failure.reply.enhanced != "4.7.8":
            return
        before = self._rests.get((login, host))
        length = min(before.length * 2, LONGEST) if before is not None else FIRST
        self._rests[login, host] = _Rest(self._clock.seconds() + length, length, failure.reply.text)

    def worked(self, login: Login, host: str) -> None:
        self._rests.pop((login, host), None)
