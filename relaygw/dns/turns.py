"""So many things at one time; the others wait, and are let in in the order in which they came.

Whoever leaves lets in the next. Where those are done at once, as with answers at hand, each would be let in from within
the leaving of the one before: a line of hundreds would be deeper than the stack. Here the first of them lets in all.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TypeVar

from twisted.internet.defer import Deferred, succeed

T = TypeVar("T")


class Turns:
    """Room for `most`."""

    def __init__(self, most: int) -> None:
        self._most = self._free = most
        self._waiting: OrderedDict[Deferred[None], None] = OrderedDict()
        self._letting_in = False

    @property
    def idle(self) -> bool:
        """Whether nobody is in, and nobody waits."""
        return self._free == self._most and not self._waiting

    async def run(self, act: Callable[[], Awaitable[T]]) -> T:
        """What `act` comes to, called once there is room; cancelled while it waits, it is never called."""
        await self._enter()
        try:
            return await act()
        finally:
            self._leave()

    def _enter(self) -> Deferred[None]:
        if self._free:
            self._free -= 1
            return succeed(None)
        waiter: Deferred[None] = Deferred(self._forget)
        self._waiting[waiter] = None
        return waiter

    def _forget(self, waiter: Deferred[None]) -> None:
        self._waiting.pop(waiter, None)

    def _leave(self) -> None:
        self._free += 1
        if self._letting_in:
            return
        self._letting_in = True
        try:
            while self._free and self._waiting:
                waiter, _ = self._waiting.popitem(last=False)
                self._free -= 1
                waiter.callback(None)
        finally:
            self._letting_in = False
