"""Threads without threads: what is given to the pool is done at once, and `callFromThread` calls at once.

For tests of everything built on `relaygw.mailbox.store` and the directory: `Store(path, reactor := InlineReactor(),
InlinePool())` answers every coroutine before it returns.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock
from twisted.python.failure import Failure


class InlineReactor(Clock):
    """A Clock that is also IReactorFromThreads."""

    def callFromThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:  # noqa: A002  Twisted's
        callable(*args, **kwargs)

    def getThreadPool(self) -> "InlinePool":
        return InlinePool()


class InlinePool:
    """The part of ThreadPool that is used here."""

    def callInThreadWithCallback(
        self, onResult: Callable[[bool, Any], object] | None, func: Callable[..., Any], *args: Any
    ) -> None:
        try:
            result = func(*args)
            worked = True
        except Exception:
            result, worked = Failure(), False
        if onResult is not None:
            onResult(worked, result)
