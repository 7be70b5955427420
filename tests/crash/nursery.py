"""Gateways that start in a tenth of a second: a process that has imported everything forks one for each start.

What is forked is a whole process with sockets, threads and files of its own; it is killed like any other. Run as a
script it reads one JSON document a line (what to start), and answers each with the number of the process.
"""

import contextlib
import gc
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import attrs

from relaygw.testing.gateway import Gateway, GatewayError, wait_for

ATTEMPTS = 10
"""Starts at most: its ports are free for anybody while it is down."""


@attrs.define
class Nursery:
    """`environment` is that of the nursery and all it starts, e.g. with the shim preloaded."""

    environment: Mapping[str, str] = attrs.field(factory=lambda: dict(os.environ))
    _process: "subprocess.Popen[str] | None" = None

    def __enter__(self) -> "Nursery":
        self._process = subprocess.Popen(
            [sys.executable, __file__], env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.communicate()

    def start(self, gateway: Gateway, shim: Mapping[str, Any] | None = None, *, wait: bool = True) -> "Child":
        """Start the gateway; with `wait` until it greets, again where others hold one of its ports for a moment.
        `shim`: its folder, log, and what fails (`main`)."""
        for attempt in range(ATTEMPTS):
            begun = gateway.log.stat().st_size if gateway.log.exists() else 0
            child = self._fork(gateway, shim)
            try:
                if wait:
                    wait_for(gateway.port(25), child)  # type: ignore[arg-type]  # it asks for `poll` only
                return child
            except GatewayError as error:
                child.kill()
                said = gateway.log.read_bytes()[begun:].decode(errors="replace")
                if "in use" not in said or attempt == ATTEMPTS - 1:
                    raise GatewayError(f"{error}; it said:\n{said[-3000:]}") from None
                time.sleep(0.2)
        raise AssertionError("unreachable")

    def _fork(self, gateway: Gateway, shim: Mapping[str, Any] | None) -> "Child":
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"config": str(gateway.config), "folder": str(gateway.folder), "log": str(gateway.log), "shim": shim}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return Child(int(self._process.stdout.readline()))


@attrs.define
class Child:
    """A process that is not ours to wait for, but can be seen to end."""

    number: int
    handle: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.handle = os.pidfd_open(self.number)

    def poll(self) -> int | None:
        """None while it runs."""
        return 0 if self.handle < 0 or select.select([self.handle], [], [], 0)[0] else None

    def kill(self, how: int = signal.SIGKILL, seconds: float = 60.0) -> bool:
        """Send a signal and wait for the end; whether it came."""
        if self.handle < 0:
            return True
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.handle, how)
        ended = bool(select.select([self.handle], [], [], seconds)[0])
        if ended:
            os.close(self.handle)
            self.handle = -1
        return ended


def main() -> None:
    """Serve until the input ends."""
    from twisted.application.service import IServiceMaker
    from twisted.plugin import getPlugins
    from twisted.scripts import _twistd_unix, twistd  # noqa: F401

    import relaygw.tap  # noqa: F401

    list(getPlugins(IServiceMaker))
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        number = os.fork()
        if not number:
            _live(json.loads(line))
        print(number, flush=True)


def _live(order: dict[str, Any]) -> None:
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for descriptor, source in ((0, os.open("/dev/null", os.O_RDONLY)), (1, log), (2, log)):
            os.dup2(source, descriptor)
        os.chdir(order["folder"])
        _new_reactor()
        if order["shim"]:
            _arm(**order["shim"])
        from twisted.scripts.twistd import run

        sys.argv = ["twistd", "-n", "--pidfile=", "relaygw", "--config", order["config"]]
        run()
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(0)


def _new_reactor() -> None:
    """In place of the one that was imported before the fork, whose descriptors are the parent's."""
    import twisted.internet
    from twisted.internet.epollreactor import EPollReactor

    old = sys.modules.pop("twisted.internet.reactor", None)
    if old is None:
        return
    new = EPollReactor()
    twisted.internet.reactor = new  # type: ignore[attr-defined]
    sys.modules["twisted.internet.reactor"] = new  # type: ignore[assignment]
    for module in list(sys.modules.values()):
        for name, value in list(getattr(module, "__dict__", {}).items()):
            if value is old:
                setattr(module, name, new)


def _arm(folder: str, log: str, fail: Mapping[str, int] | None = None) -> None:
    from shim import Kind, Shim

    shim = Shim()
    shim.start(Path(folder), Path(log))
    if fail:
        plan = dict(fail)
        shim.fail(Kind(plan.pop("kinds")), **plan)


if __name__ == "__main__":
    main()
