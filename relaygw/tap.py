"""`twistd relaygw`: options and makeService, called by the plugin. The service itself is relaygw.gateway.service."""

import gc
import os
from typing import Any

from twisted.application.service import IService
from twisted.python import usage

from relaygw.config.load import ConfigError, load
from relaygw.gateway.parts import PartsError
from relaygw.gateway.service import Gateway

DEFAULT = "/etc/relaygw/relaygw.toml"


class Options(usage.Options):
    """The configuration is read here, so that its errors are told like any wrong usage."""

    synopsis = "[--config FILE]"
    longdesc = "A mail relay and gateway. `relaygw init DIR --domain D` writes a configuration to start from."
    optParameters = [["config", "c", None, f"The configuration [default: $RELAYGW_CONFIG, then {DEFAULT}]."]]

    def postOptions(self) -> None:
        path = self["config"] or os.environ.get("RELAYGW_CONFIG") or DEFAULT
        try:
            self.configuration = load(path)
        except ConfigError as error:
            raise usage.UsageError(f"the configuration cannot be used:\n{error}") from None


def makeService(options: Options) -> IService:
    """The service for the configuration; ends the process with a sentence where it cannot work."""
    from twisted.internet import reactor

    running: Any = reactor
    try:
        gateway = Gateway(options.configuration, running)
    except PartsError as error:
        raise SystemExit(f"relaygw cannot start:\n{error}") from None
    running.callWhenRunning(_settle_memory)
    return gateway


def _settle_memory() -> None:
    """What is there once all has started stays: no search for garbage has to look at it again, nor so often at what
    the messages in hand are made of. Hardly anything of ours is a cycle; what is, goes later and no less."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
