"""What verbs share: the configuration, read when it is first asked for, and the way to the running service."""

import os
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relaygw.cli.client import Client
    from relaygw.config.problem import ConfigError
    from relaygw.config.schema import Config

DEFAULT_CONFIG = "/etc/relaygw/relaygw.toml"


def _nowhere() -> "ConfigError":
    from relaygw.config.problem import ConfigError, Problem

    hint = "name yours with --config FILE or in $RELAYGW_CONFIG, or write one with `relaygw init DIR`"
    return ConfigError((Problem(path="", message="there is no such file", hint=hint, file=DEFAULT_CONFIG),))


def is_missing(path: str) -> bool:
    """Whether there is no such file; one that we may not look at is there."""
    try:
        os.lstat(path)
    except OSError as error:
        return isinstance(error, FileNotFoundError | NotADirectoryError)
    return False


class Context:
    """`path` is what --config gave, or "": then the environment's, then the system's."""

    def __init__(self, path: str = "") -> None:
        self.path = path or os.environ.get("RELAYGW_CONFIG") or DEFAULT_CONFIG

    @property
    def missing(self) -> bool:
        """Whether nobody has named a configuration, and the system has none."""
        return self.path == DEFAULT_CONFIG and is_missing(self.path)

    @cached_property
    def config(self) -> "Config":
        """Raises ConfigError, which ends every verb with exit code 2."""
        from relaygw.config.load import load

        if self.missing:
            raise _nowhere()
        return load(self.path)

    @property
    def client(self) -> "Client":
        from relaygw.cli.client import Client

        assert self.config.control.socket is not None  # the loader fills it in
        return Client(self.config.control.socket)
