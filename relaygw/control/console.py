"""The web page for operators: status, queue and trace, to look at and nothing more.

Everything shown may come from hostile mail: templates escape all of it, and the content policy lets the page load
nothing but its own style. Only someone with the token sees more than the form that asks for it.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from klein import Klein
from twisted.python.failure import Failure
from twisted.web.http import Request

from relaygw.control import asked, queue
from relaygw.control.app import status_document
from relaygw.control.collaborators import Collaborators
from relaygw.control.login import COOKIE, LIFETIME, Login
from relaygw.control.metrics import render
from relaygw.control.web import Refused, add_route, answer_errors, describe

TEMPLATES = Path(__file__).with_name("templates")
PAGE = 100
MAX_TRACED = 50

POLICY = b"default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

_CONDITIONS = ("sender", "recipient", "reply", "held", "quarantined", "older_than")

Page = Callable[..., Awaitable[bytes]]


class Console:
    """`app` is the klein application; `secure` tells that it is reached over TLS, so that cookies stay there."""

    def __init__(self, parts: Collaborators, login: Login, started: float, *, secure: bool = False) -> None:
        self._parts = parts
        self._login = login
        self._started = started
        self._secure = secure
        self._templates = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.app = Klein()
        for rule, page in (
            ("/", self.status),
            ("/queue", self.queue),
            ("/queue/<queue_id>", self.message),
            ("/trace", self.trace),
        ):
            add_route(self.app, rule, self._guarded(page), "GET")
        add_route(self.app, "/metrics", self._guarded(self.metrics), "GET")
        add_route(self.app, "/style.css", self.style, "GET")
        add_route(self.app, "/login", self.ask, "GET")
        add_route(self.app, "/login", self.begin, "POST")
        add_route(self.app, "/logout", self.end, "POST")
        answer_errors(self.app, self._failed)

    def _guarded(self, page: Page) -> Page:
        """The page for those who may see it, the form for the others."""

        async def answer(request: Request, **names: str) -> bytes:
            authorization = request.getHeader(b"authorization")
            if self._login.allows(request.getCookie(COOKIE), authorization):
                return await page(request, **names)
            if authorization is not None:
                request.setHeader(b"www-authenticate", b'Basic realm="relaygw", charset="UTF-8"')
                raise Refused(401, "the token is wrong")
            return _redirect(request, "/login")

        return answer

    async def status(self, request: Request) -> bytes:
        document = await status_document(self._parts, self._started)
        counts = sorted(self._parts.counts().items())
        return self._page(request, "status.html", status=document, counts=counts)

    async def queue(self, request: Request) -> bytes:
        given = {name: value for name, value in asked.query(request.args).items() if value not in ("", [""])}
        asked.known(given, *_CONDITIONS, "after")
        listed = await queue.list_(self._parts.queue, {**given, "limit": PAGE}, self._parts.clock())
        conditions = {name: _shown(given.get(name, "")) for name in _CONDITIONS}
        following = urlencode({**{name: text for name, text in conditions.items() if text}, "after": listed["after"]})
        more = f"/queue?{following}" if listed["after"] else ""
        return self._page(request, "queue.html", messages=listed["messages"], conditions=conditions, more=more)

    async def message(self, request: Request, queue_id: str) -> bytes:
        message = await queue.show(self._parts.queue, queue_id, self._parts.clock())
        if message is None:
            raise Refused(404, "there is no such message in the queue")
        return self._page(request, "message.html", message=message, why=await self._parts.queue.why(queue_id))

    async def trace(self, request: Request) -> bytes:
        text = asked.text(asked.query(request.args), "text").strip()
        events = list(await self._parts.trace(text, MAX_TRACED)) if text else []
        return self._page(request, "trace.html", text=text, events=events)

    async def metrics(self, request: Request) -> bytes:
        request.setHeader(b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
        return render(self._parts.counts(), await status_document(self._parts, self._started))

    def style(self, request: Request) -> bytes:
        request.setHeader(b"content-type", b"text/css; charset=utf-8")
        return (TEMPLATES / "style.css").read_bytes()

    def ask(self, request: Request) -> bytes:
        return self._page(request, "login.html", wrong=False)

    def begin(self, request: Request) -> bytes:
        offered = (request.args or {}).get(b"token", [b""])[0]
        cookie = self._login.begin(offered.decode("utf-8", "replace").strip())
        if cookie is None:
            request.setResponseCode(403)
            return self._page(request, "login.html", wrong=True)
        self._set_cookie(request, cookie, int(LIFETIME))
        return _redirect(request, "/")

    def end(self, request: Request) -> bytes:
        self._login.end(request.getCookie(COOKIE))
        self._set_cookie(request, b"", 0)
        return _redirect(request, "/login")

    def _set_cookie(self, request: Request, value: bytes, lifetime: int) -> None:
        request.addCookie(
            COOKIE,
            value,
            path=b"/",
            max_age=str(lifetime).encode(),
            httpOnly=True,
            secure=self._secure,
            sameSite=b"strict",
        )

    def _page(self, request: Request, template: str, **values: Any) -> bytes:
        for name, value in (
            (b"content-type", b"text/html; charset=utf-8"),
            (b"content-security-policy", POLICY),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
            (b"cache-control", b"no-store"),
        ):
            request.setHeader(name, value)
        page = self._templates.get_template(template).render(hostname=self._parts.settings().hostname, **values)
        return page.encode("utf-8", "replace")

    def _failed(self, request: Request, failure: Failure) -> bytes:
        status, sentence = describe(failure)
        request.setResponseCode(status)
        return self._page(request, "error.html", status=status, sentence=sentence)


def _redirect(request: Request, place: str) -> bytes:
    request.setResponseCode(303)
    request.setHeader(b"location", place.encode())
    return b""


def _shown(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)
