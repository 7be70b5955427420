"""The HTTP ground both the control socket and the console stand on: bounded requests, one form for every error."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from klein import Klein
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure as TwistedFailure
from twisted.web.http import Request as HttpRequest
from twisted.web.server import Request, Site
from werkzeug.exceptions import HTTPException

from relaygw.control.asked import BadRequest
from relaygw.interfaces import SpoolError

MAX_BODY = 1024 * 1024
"""Octets of a request's body; a longer one is answered 413 and never kept."""

MAX_FORM = 4096
"""The same for the page, which anybody may reach: Twisted takes a form apart before we can ask who sends it."""

IDLE = 60
"""Seconds a connection may be silent."""

P = TypeVar("P")
Handler = Callable[..., Awaitable[bytes] | bytes]
ErrorHandler = Callable[[HttpRequest, TwistedFailure], bytes]

_WORDS: Mapping[int, str] = {404: "there is no such thing here", 405: "this cannot be done with it"}

_log = Logger()


class Refused(Exception):
    """An answer other than 200, with its status and its sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def there(part: P | None) -> P:
    """A part that not every service has."""
    if part is None:
        raise Refused(404, "there is no such thing here")
    return part


class BoundedRequest(Request):
    """Drops the pieces of a body that is too long as they come, instead of spooling them to disk first."""

    most = MAX_BODY
    _refused = False
    _taken = 0

    def gotLength(self, length: int | None) -> None:
        self._refused = length is not None and length > self.most
        self._base.gotLength(0 if self._refused else length)

    def handleContentChunk(self, data: bytes) -> None:
        self._taken += len(data)
        if self._taken > self.most:
            self._refused = True
        if not self._refused:
            self._base.handleContentChunk(data)

    def process(self) -> None:
        if not self._refused:
            self._base.process()
            return
        answer: Any = self
        answer.setResponseCode(413)
        answer.setHeader(b"content-type", b"application/json")
        answer.write(b'{"error": "the request is too long"}')
        answer.finish()

    @property
    def _base(self) -> Any:
        """Twisted's own methods, which have no types."""
        return super()


class FormRequest(BoundedRequest):
    """The same for requests of people nobody knows yet."""

    most = MAX_FORM


class QuietSite(Site):
    """No access log: the journal tells what operators do. No traceback in an answer."""

    displayTracebacks = False
    noisy = False
    name = "control"

    def logPrefix(self) -> str:
        """What the log of the process calls it."""
        return self.name

    def startFactory(self) -> None:
        """Nothing: Twisted's own would wake every second to have the date ready for the access log."""

    def log(self, request: Any) -> None:
        """Nothing."""


def make_site(
    app: Klein, reactor: IReactorTime, name: str = "control", request: type[BoundedRequest] = BoundedRequest
) -> Site:
    """The site of an app; `reactor` times out who is silent, `name` stands in the log of the process."""
    site = QuietSite(app.resource(), requestFactory=request, timeout=IDLE, reactor=reactor)  # type: ignore[no-untyped-call]  # Twisted's Site has no types
    site.name = name
    return site


def add_route(app: Klein, rule: str, handler: Handler, method: str) -> None:
    """Let the app answer `method` on `rule` by the handler."""
    app.route(rule, methods=[method], strict_slashes=False, endpoint=f"{method} {rule}")(handler)


def answer_errors(app: Klein, handler: ErrorHandler) -> None:
    """Let the handler answer for whatever the others raise, an unknown address included."""
    untyped: Any = app
    untyped.handle_errors(handler)


def as_json(request: HttpRequest, document: Any, status: int = 200) -> bytes:
    request.setResponseCode(status)
    request.setHeader(b"content-type", b"application/json")
    request.setHeader(b"cache-control", b"no-store")
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")


def describe(failure: TwistedFailure) -> tuple[int, str]:
    """The status and the sentence for whatever a handler raised; what is not expected is logged, not told."""
    error = failure.value
    if isinstance(error, Refused):
        return error.status, str(error)
    if isinstance(error, BadRequest):
        return 400, str(error)
    if isinstance(error, OSError | SpoolError):
        return 503, str(error)
    if isinstance(error, HTTPException):
        return error.code or 500, _WORDS.get(error.code or 500, error.name)
    _log.failure("a request of an operator failed", failure)
    return 500, f"this failed inside the service ({type(error).__name__}); its log tells more"
