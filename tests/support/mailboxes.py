"""What the tests of the mail store share: a store without threads, results at once, Services for a file of users."""

from collections.abc import Awaitable
from pathlib import Path
from typing import Any, TypeVar, cast

from twisted.python.failure import Failure

from relaygw.bridge import as_deferred
from relaygw.config.schema import Config, DirectoryConfig
from relaygw.interfaces import Services
from relaygw.mailbox.store import Store
from relaygw.tables.users import FileDirectory
from relaygw.testing.threads import InlinePool, InlineReactor

T = TypeVar("T")


def at_once(awaitable: Awaitable[T]) -> T:
    """The result of something that answers without waiting; raises what it raises."""
    results: list[T | Failure] = []
    as_deferred(awaitable).addBoth(results.append)
    assert results, "it did not answer at once"
    if isinstance(results[0], Failure):
        results[0].raiseException()
    return cast(T, results[0])


def inline_store(path: Path, seconds: float = 1_000_000_000.0) -> Store:
    """A store whose every call answers at once, at a time of the test's own."""
    reactor = InlineReactor()
    reactor.advance(seconds)
    return Store(str(path), reactor, InlinePool())


def services_for(state: Path, reactor: Any = None, **settings: Any) -> Services:
    """Services over `state`/users, for the domains example.com and example.org unless `settings` say otherwise."""
    wanted = {"domains": ("example.com", "example.org"), "directory": DirectoryConfig(users=str(state / "users"))}
    config = Config(hostname="mx.example.com", state=str(state), **{**wanted, **settings})
    return Services(
        hostname=config.hostname,
        resolver=None,
        reactor=reactor or InlineReactor(),
        state=str(state),
        spawn=lambda name, awaitable: None,
        settings=config,
    )


def directory_for(state: Path, reactor: Any = None, options: Any = None, **settings: Any) -> FileDirectory:
    return FileDirectory(options or {}, services_for(state, reactor, **settings))
