"""A clock that somebody puts back, with what the service does then about the calls to come (relaygw.gateway.clock)."""

from twisted.internet.task import Clock


def put_back(clock: Clock, seconds: float) -> None:
    """The calls come when they would have; what remembers times of its own has to see to itself."""
    clock.rightNow -= seconds
    for call in clock.getDelayedCalls():
        call.reset(max(call.getTime() - seconds - clock.seconds(), 0.0))
