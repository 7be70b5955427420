"""What the tests of the mail store share: a store without threads, Services for a file of users."""

from pathlib import Path
from typing import Any

from relaygw.config.schema import Config, DirectoryConfig
from relaygw.interfaces import Services
from relaygw.mailbox.store import Store
from relaygw.tables.users import FileDirectory
from relaygw.testing.threads import InlinePool, InlineReactor


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
