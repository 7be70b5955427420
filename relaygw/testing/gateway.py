"""A whole gateway as a child process, for tests that want the real thing: `relaygw init`, then `twistd relaygw`.

    with Gateway.make(folder, domains=["example.test"], users=["alice:secret"]) as gateway:
        smtplib.SMTP("127.0.0.1", gateway.port(25))

It listens on loopback at an offset that was free a moment ago, and can be stopped, killed and started again over the
same state.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import attrs

from relaygw.testing.no_names import no_names
from relaygw.testing.ports import free_offset


class GatewayError(Exception):
    """The gateway did not do what was asked; the message carries its own output."""


def wait_for(port: int, process: subprocess.Popen[bytes] | None = None, seconds: float = 90.0) -> None:
    """Return when an SMTP server greets on the loopback port; raises GatewayError."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and (process is None or process.poll() is None):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as link:
            if link.recv(3) == b"220":
                return
        time.sleep(0.02)
    raise GatewayError(f"no SMTP server greets on port {port}")


@attrs.define
class Gateway:
    """`folder` holds relaygw.toml and the state; `offset` is added to the standard ports."""

    folder: Path
    offset: int
    wrapper: tuple[str, ...] = ()
    environment: dict[str, str] = attrs.field(factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @classmethod
    def make(
        cls,
        folder: Path,
        *,
        domains: Sequence[str],
        users: Sequence[str] = (),
        smarthost: str = "",
        trust: Sequence[str] = (),
        hostname: str = "gateway.example.test",
    ) -> "Gateway":
        """Write a new working directory with `relaygw init`; nothing runs yet."""
        gateway = cls(folder, free_offset())
        options = ["--hostname", hostname, "--port-offset", str(gateway.offset)]
        options += [part for domain in domains for part in ("--domain", domain)]
        options += [part for user in users for part in ("--user", user)]
        options += ["--smarthost", smarthost] if smarthost else []
        options += [part for network in trust for part in ("--trust", network)]
        done = gateway.command("init", str(folder), *options, configured=False)
        if done.returncode:
            raise GatewayError(f"init failed: {done.stderr}")
        return gateway

    @property
    def config(self) -> Path:
        return self.folder / "relaygw.toml"

    @property
    def log(self) -> Path:
        return self.folder / "twistd.log"

    def port(self, standard: int) -> int:
        """The port that stands for a standard one, e.g. port(587)."""
        return standard + self.offset

    def configure(self, old: str, new: str) -> None:
        """Replace a piece of the configuration that must be there."""
        text = self.config.read_text(encoding="utf-8")
        if old not in text:
            raise GatewayError(f"{old!r} is not in {self.config}")
        self.config.write_text(text.replace(old, new, 1), encoding="utf-8")

    def append(self, toml: str) -> None:
        """Add tables to the end of the configuration."""
        with self.config.open("a", encoding="utf-8") as file:
            file.write(f"\n{toml}\n")

    def command(self, *arguments: str, configured: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `relaygw …` against this gateway."""
        options = ["--config", str(self.config)] if configured else []
        return subprocess.run(  # noqa: S603
            [sys.executable, "-m", "relaygw.cli", *options, *arguments],
            capture_output=True, text=True, timeout=300, env={**os.environ, **self.environment}, check=False,
        )  # fmt: skip

    def start(self) -> "Gateway":
        """Start it and wait until the MX listener greets; raises GatewayError with what it said instead.

        Where its configuration has no [dns], it gets one that knows no names: no test shall depend on a network.
        """
        if "\n[dns]" not in self.config.read_text(encoding="utf-8"):
            self.append(f'[dns]\nnameservers = ["{no_names()}"]')
        script = "import sys; from twisted.scripts.twistd import run; sys.argv[0] = 'twistd'; run()"
        arguments = ["-n", "--pidfile=", "relaygw", "--config", str(self.config)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603
                [*self.wrapper, sys.executable, "-c", script, *arguments],
                stdout=log, stderr=log, cwd=self.folder, env={**os.environ, **self.environment},
            )  # fmt: skip
        try:
            wait_for(self.port(25), self.process)
        except GatewayError as error:
            self.kill()
            raise GatewayError(f"{error}; the gateway said:\n{self.log.read_text(errors='replace')[-4000:]}") from None
        return self

    def stop(self, seconds: float = 120.0) -> int:
        """SIGTERM: drain and stop; the exit status."""
        if self.process is None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        finally:
            self.kill()

    def kill(self) -> None:
        """SIGKILL, as a crash would; harmless when it has ended."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def __enter__(self) -> "Gateway":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
