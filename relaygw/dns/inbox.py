"""Things that arrive, and the one reader who may wait for the next."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure


class Inbox:
    """What arrives before it is asked for is kept."""

    def __init__(self) -> None:
        self._items: list[Any] = []
        self._end: BaseException | None = None
        self._reader: Deferred[Any] | None = None

    def put(self, item: Any) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.callback(item)
        else:
            self._items.append(item)

    def end(self, error: BaseException) -> None:
        """Nothing more will arrive; who reads on gets the error."""
        self._end = error
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.errback(Failure(error))

    def get(self) -> Deferred[Any]:
        result: Deferred[Any] = Deferred(self._forget)
        if self._items:
            result.callback(self._items.pop(0))
        elif self._end is not None:
            result.errback(Failure(self._end))
        else:
            self._reader = result
        return result

    def _forget(self, reader: Deferred[Any]) -> None:
        self._reader = None
