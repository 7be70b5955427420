"""The border between our `async def` and Twisted's Deferreds, in one place."""

from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeGuard, TypeVar, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")


def deferred(function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Deferred[T]]:
    """Make an `async def` into a function that Twisted can call: it starts at once and returns a Deferred."""

    @wraps(function)
    def starter(*args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        return Deferred.fromCoroutine(function(*args, **kwargs))

    return starter


async def _await(awaitable: Awaitable[T]) -> T:
    return await awaitable


def as_deferred(awaitable: Awaitable[T]) -> Deferred[T]:
    """A Deferred for any awaitable: a Deferred as it is, a coroutine started at once."""
    if isinstance(awaitable, Deferred):
        return awaitable
    return Deferred.fromCoroutine(awaitable if isinstance(awaitable, Coroutine) else _await(awaitable))


_LATER: dict[type, bool] = {}


def is_later(value: "T | Awaitable[T]") -> TypeGuard[Awaitable[T]]:
    """Whether something answered "now or later" is still to come. Asked many times a message: by type, of which there
    are few; isinstance with an abstract class takes several times as long."""
    later = _LATER.get(type(value))
    if later is None:
        later = _LATER[type(value)] = hasattr(type(value), "__await__")
    return later


async def resolve(value: T | Awaitable[T]) -> T:
    """The value of something answered "now or later"."""
    return (await value) if is_later(value) else cast(T, value)


def follow(value: "T | Awaitable[T]", function: "Callable[[T], R | Awaitable[R]]") -> "R | Awaitable[R]":
    """What `function` makes of something answered "now or later": at once where it can, else an awaitable of it.

    Where everything answers at once no coroutine and no Deferred comes to be.
    """
    return afterwards(value, function) if is_later(value) else function(cast(T, value))


def sleep(seconds: float, clock: IReactorTime, result: T) -> "Deferred[T]":
    """A Deferred of `result` that fires after this time; cancelling it stops the clock."""
    waiting: Deferred[T] = Deferred(lambda _: call.cancel())
    call = clock.callLater(seconds, waiting.callback, result)
    return waiting


async def afterwards(value: Awaitable[T], function: "Callable[[T], R | Awaitable[R]]") -> R:
    """What `function` makes of a value that is still awaited."""
    return await resolve(function(await value))
