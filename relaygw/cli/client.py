"""The way to the running service: HTTP and JSON over its UNIX socket, one request at a time."""

import http.client
import json
import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from relaygw.cli.answer import CommandError, MissingError, NotRunningError, UnreachableError, UsageError
from relaygw.control.place import reachable

TIMEOUT = 60.0
"""Seconds for one answer."""

LONGEST = 16_000
"""Octets of a question: with more, an HTTP server ends the connection without a word."""

ORDER_TIMEOUT = 3600.0
"""Seconds for an order: it may be for every message of a long queue."""


class Client:
    """`socket_path` as in the configuration."""

    def __init__(self, socket_path: str, timeout: float = TIMEOUT) -> None:
        self._path = socket_path
        self._timeout = timeout

    def get(self, *parts: str, **query: object) -> Any:
        """The JSON answered for the path; raises UnreachableError, or CommandError with the service's own words."""
        return self._ask("GET", parts, query, None)

    def post(self, *parts: str, body: Mapping[str, object] | None = None) -> Any:
        return self._ask("POST", parts, {}, json.dumps(body or {}).encode())

    def _ask(self, method: str, parts: tuple[str, ...], query: Mapping[str, object], body: bytes | None) -> Any:
        # What a shell passes on need not be text: then there is no such thing.
        target = "/" + "/".join(quote(part, safe="", errors="replace") for part in parts)
        given = {name: value for name, value in query.items() if value not in (None, "", [], False)}
        target += f"?{urlencode(given, doseq=True, errors='replace')}" if given else ""
        if len(target) > LONGEST:
            raise UsageError(f"this is too much to ask the service at once: {len(target)} octets, at most {LONGEST}")
        connection = _Connection(self._path, ORDER_TIMEOUT if method == "POST" else self._timeout)
        try:
            connection.request(method, target, body, {"Content-Type": "application/json"} if body else {})
            response = connection.getresponse()
            return _read(response.status, response.read())
        except (FileNotFoundError, ConnectionRefusedError):
            raise NotRunningError(f"the service is not running: nobody listens at {self._path}") from None
        except (OSError, http.client.HTTPException) as error:
            raise UnreachableError(f"the service does not answer at {self._path}: {reason(error)}") from None
        finally:
            connection.close()


_KINDS: Mapping[int, type[CommandError]] = {400: UsageError, 404: MissingError}


def _read(status: int, data: bytes) -> Any:
    try:
        answer = json.loads(data)
    except ValueError:
        raise UnreachableError("what answers at the control socket is not relaygw") from None
    if status < 400:
        return answer
    raise _KINDS.get(status, CommandError)(answer.get("error") or f"the service answered {status}")


def reason(error: Exception) -> str:
    """Why nobody answers, in words."""
    if isinstance(error, TimeoutError):
        return "it took too long"
    if isinstance(error, PermissionError):
        return f"{error.strerror}; run this as the service's user, or as root"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


class _Connection(http.client.HTTPConnection):
    """HTTP over a UNIX socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        with reachable(self._path) as path:
            self.sock.connect(path)
