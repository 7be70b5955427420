"""The service behind the control socket and the console: opens both, closes both.

Neither carries mail: what keeps one of them from opening is told, and the gateway goes on without it.
"""

import contextlib
import errno
import os
import socket
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import serverFromString
from twisted.logger import Logger

from relaygw.bridge import deferred
from relaygw.config.schema import ControlConfig
from relaygw.control.app import ControlApp
from relaygw.control.collaborators import Collaborators
from relaygw.control.console import Console
from relaygw.control.login import Login
from relaygw.control.place import reachable
from relaygw.control.web import FormRequest, make_site

_log = Logger()


class ControlService(Service):
    """`reactor` listens (UNIX and whatever the console's endpoint needs). `opened` fires when both listen or have
    failed to; `problems` holds a sentence for each that failed."""

    name = "control"

    def __init__(self, reactor: Any, config: ControlConfig, parts: Collaborators) -> None:
        self._reactor = reactor
        self._config = config
        self._parts = parts
        self._ports: list[Any] = []
        self._held = contextlib.ExitStack()
        self.problems: list[str] = []
        self.opened: Deferred[None] = succeed(None)

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's Service has no types
        self.opened = self._open()

    @deferred
    async def _open(self) -> None:
        started = self._parts.clock()
        for what, opening in (("control socket", self._open_socket), ("console", self._open_console)):
            try:
                await opening(started)
            except Exception as error:
                self.problems.append(f"the {what} cannot be opened: {error}")
                _log.error("the {what} cannot be opened: {error}", what=what, error=error)

    async def _open_socket(self, started: float) -> None:
        path = self._config.socket
        if path is None:
            return
        short = self._held.enter_context(reachable(path))
        _clear_stale(short)
        site = make_site(ControlApp(self._parts, started).app, self._reactor)
        # Twisted sets the mode after the socket is there; the mask keeps others out in between.
        mask = os.umask(0o177)
        try:
            self._ports.append(self._reactor.listenUNIX(short, site, mode=0o600))
        finally:
            os.umask(mask)

    async def _open_console(self, started: float) -> None:
        endpoint, token_file = self._config.console, self._config.token_file
        if not endpoint or not token_file:
            return
        secure = endpoint.startswith(("ssl:", "tls:"))
        console = Console(self._parts, Login(token_file, self._parts.clock), started, secure=secure)
        listen: Any = serverFromString
        self._ports.append(
            await listen(self._reactor, endpoint).listen(make_site(console.app, self._reactor, "console", FormRequest))
        )

    @property
    def console_address(self) -> Any:
        """Where the console listens, None where it does not."""
        return self._ports[-1].getHost() if len(self._ports) > 1 else None

    @deferred
    async def stopService(self) -> None:
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's Service has no types
        with contextlib.suppress(Exception):
            await self.opened
        ports, self._ports = self._ports, []
        for port in ports:
            with contextlib.suppress(FileNotFoundError):
                await port.stopListening()
        self._held.close()


def _clear_stale(path: str) -> None:
    """Remove a socket that a crash left behind; raises OSError where somebody answers at it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            os.unlink(path)
            return
    raise OSError(errno.EADDRINUSE, "another process answers at it")
