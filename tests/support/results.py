"""The result of something that waits for nothing: in tests time passes, and answers come, when the test says so."""

from collections.abc import Awaitable
from typing import TypeVar, cast

from twisted.python.failure import Failure

from relaygw.bridge import as_deferred

T = TypeVar("T")


def at_once(awaitable: Awaitable[T]) -> T:
    """What a coroutine or a Deferred came to; raises what it failed with, AssertionError where nothing came yet."""
    results: list[T | Failure] = []
    as_deferred(awaitable).addBoth(results.append)
    assert results, "there is no result yet"
    if isinstance(results[0], Failure):
        results[0].raiseException()
    return cast(T, results[0])
