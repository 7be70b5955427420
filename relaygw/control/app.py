"""The operator's requests over the control socket: HTTP and JSON, nothing but the collaborators behind it.

Who can open the socket (mode 0600) may do everything. Every answer is one JSON document, errors too:
`{"error": "a sentence"}`. docs/cli.md describes the shapes.
"""

import os
from collections.abc import Mapping
from typing import Any

from klein import Klein
from twisted.python.failure import Failure
from twisted.web.http import Request

from relaygw import __version__
from relaygw.bridge import resolve
from relaygw.config.schema import Config
from relaygw.control import asked, bans, holds, queue, spool, tables, trash
from relaygw.control.collaborators import Collaborators
from relaygw.control.explain import Case, Parts, explain_route
from relaygw.control.metrics import render
from relaygw.control.shapes import Json
from relaygw.control.web import Refused, add_route, answer_errors, as_json, describe, there
from relaygw.core.verdict import field_flaw
from relaygw.journal.line import timestamp

MAX_EVENTS = 1000


class ControlApp:
    """`app` is the klein application; `started` is when the service began, in POSIX seconds."""

    def __init__(self, parts: Collaborators, started: float) -> None:
        self._parts = parts
        self._started = started
        self.app = Klein()
        for method, rule, handler in (
            ("GET", "/status", self.status),
            ("GET", "/queue", self.list_queue),
            ("GET", "/queue/<queue_id>", self.show),
            ("GET", "/queue/<queue_id>/why", self.why),
            ("POST", "/queue/<verb>", self.order),
            ("GET", "/damaged", self.list_damaged),
            ("POST", "/damaged/<verb>", self.change_damaged),
            ("POST", "/spool/import", self.import_archive),
            ("POST", "/spool/reindex", self.reindex),
            ("GET", "/trash", self.list_trash),
            ("POST", "/trash/<verb>", self.change_trash),
            ("GET", "/destinations", self.destinations),
            ("GET", "/trace", self.trace),
            ("GET", "/route", self.route),
            ("GET", "/tables", self.list_tables),
            ("GET", "/tables/<name>", self.look_up),
            ("GET", "/expand", self.expand),
            ("GET", "/filters", self.filters),
            ("GET", "/holds", self.list_holds),
            ("POST", "/holds/<verb>", self.change_holds),
            ("GET", "/bans", self.list_bans),
            ("POST", "/bans/<verb>", self.change_bans),
            ("POST", "/dkim/look", self.look_at_keys),
            ("POST", "/reload", self.reload),
            ("GET", "/metrics", self.metrics),
        ):
            add_route(self.app, rule, handler, method)
        answer_errors(self.app, self._failed)

    async def status(self, request: Request) -> bytes:
        return as_json(request, await status_document(self._parts, self._started))

    async def list_queue(self, request: Request) -> bytes:
        return as_json(request, await queue.list_(self._parts.queue, asked.query(request.args), self._parts.clock()))

    async def show(self, request: Request, queue_id: str) -> bytes:
        return as_json(request, _found(await queue.show(self._parts.queue, queue_id, self._parts.clock()), queue_id))

    async def why(self, request: Request, queue_id: str) -> bytes:
        return as_json(request, _found(await queue.why(self._parts.queue, queue_id), queue_id))

    async def destinations(self, request: Request) -> bytes:
        return as_json(request, queue.destinations(self._parts.queue, asked.query(request.args)))

    async def order(self, request: Request, verb: str) -> bytes:
        routes = [route.name or f"route {number}" for number, route in enumerate(self._parts.settings().routes, 1)]
        return as_json(request, await queue.order(self._parts.queue, verb, asked.body(_content(request)), routes))

    async def list_damaged(self, request: Request) -> bytes:
        return as_json(request, await spool.damaged(there(self._parts.spool)))

    async def change_damaged(self, request: Request, verb: str) -> bytes:
        return as_json(request, await spool.change(there(self._parts.spool), verb, asked.body(_content(request))))

    async def import_archive(self, request: Request) -> bytes:
        return as_json(request, await spool.take_in(there(self._parts.spool), asked.body(_content(request))))

    async def reindex(self, request: Request) -> bytes:
        return as_json(request, await spool.reindex(there(self._parts.spool), asked.body(_content(request))))

    async def list_trash(self, request: Request) -> bytes:
        return as_json(request, await trash.list_(there(self._parts.trash), asked.query(request.args)))

    async def change_trash(self, request: Request, verb: str) -> bytes:
        return as_json(request, await trash.change(there(self._parts.trash), verb, asked.body(_content(request))))

    async def trace(self, request: Request) -> bytes:
        given = asked.query(request.args)
        asked.known(given, "text", "limit")
        text = asked.text(given, "text").strip()
        if not text:
            raise asked.BadRequest("text: a queue id, a session id, a Message-ID or an address is wanted")
        limit = asked.number(given, "limit", 50, MAX_EVENTS) or 50
        return as_json(request, {"events": list(await self._parts.trace(text, limit))})

    async def route(self, request: Request) -> bytes:
        case = route_case(asked.query(request.args))
        asks = self._parts
        parts = Parts(
            config=asks.settings(),
            resolver=asks.resolver,
            account=asks.account,
            rehearse=asks.rehearse,
            signing=asks.signing,
            addresses=asks.addresses,
        )
        return as_json(request, await explain_route(case, parts))

    async def list_tables(self, request: Request) -> bytes:
        return as_json(request, await tables.list_(there(self._parts.addresses)))

    async def look_up(self, request: Request, name: str) -> bytes:
        return as_json(request, await tables.look_up(there(self._parts.addresses), name, asked.query(request.args)))

    async def expand(self, request: Request) -> bytes:
        return as_json(request, await tables.expand(there(self._parts.addresses), asked.query(request.args)))

    async def filters(self, request: Request) -> bytes:
        return as_json(request, {"filters": filters_document(self._parts.settings())})

    async def list_holds(self, request: Request) -> bytes:
        return as_json(request, holds.list_(there(self._parts.holds)))

    async def change_holds(self, request: Request, verb: str) -> bytes:
        return as_json(request, holds.change(there(self._parts.holds), verb, asked.body(_content(request))))

    async def list_bans(self, request: Request) -> bytes:
        return as_json(request, bans.list_(self._parts.bans))

    async def change_bans(self, request: Request, verb: str) -> bytes:
        return as_json(request, bans.change(self._parts.bans, verb, asked.body(_content(request))))

    async def look_at_keys(self, request: Request) -> bytes:
        return as_json(request, await self._parts.look_at_keys())

    async def reload(self, request: Request) -> bytes:
        reread = await self._parts.reload()
        problems, waiting = list(reread.problems), list(reread.waiting)
        return as_json(request, {"reloaded": not problems, "problems": problems, "waiting": waiting})

    async def metrics(self, request: Request) -> bytes:
        status = await status_document(self._parts, self._started)
        request.setHeader(b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
        return render(self._parts.counts(), status)

    def _failed(self, request: Request, failure: Failure) -> bytes:
        status, sentence = describe(failure)
        return as_json(request, {"error": sentence}, status)


async def status_document(parts: Collaborators, started: float) -> Json:
    """What the service tells of itself, on top of what is the same for every service."""
    config = parts.settings()
    own: Mapping[str, Any] = await resolve(parts.status())
    return {
        "version": __version__,
        "pid": os.getpid(),
        "started": timestamp(started),
        "uptime": round(parts.clock() - started),
        "hostname": config.hostname,
        "config": config.path,
        "listeners": [{"name": each.name, "endpoint": each.endpoint} for each in config.listeners],
        **own,
    }


def filters_document(config: Config) -> list[Json]:
    """The uses of filters in their order."""
    return [
        {
            "name": use.name,
            "use": use.use,
            "listeners": list(use.listeners) or mx_listeners(config),
            "timeout": use.timeout,
            "on_error": use.on_error,
            "mode": use.mode,
        }
        for use in config.filters
    ]


def mx_listeners(config: Config) -> list[str]:
    """What a filter without listeners of its own is asked on."""
    return [each.name for each in config.listeners if each.protocol == "smtp" and each.role.value == "mx"]


def route_case(given: asked.Asked) -> Case:
    """The message a query of `route` asks about."""
    asked.known(given, "sender", "recipient", "login", "listener", "client", "size", "connect", "header", "finding")
    single = {name: asked.single(given, name) for name in ("sender", "recipient")}
    return Case(
        sender=asked.reverse_path(single, "sender"),
        recipient=asked.address(single, "recipient"),
        login=asked.text(given, "login"),
        listener=asked.text(given, "listener"),
        client=asked.text(given, "client"),
        size=asked.number(given, "size", 0, 2**40),
        headers=tuple(_field(text) for text in asked.texts(given, "header")),
        findings=tuple(text.lower() for text in asked.texts(given, "finding")),
        connect=asked.yes_or_no(given, "connect") or False,
    )


def _field(text: str) -> str:
    """A header field on one line."""
    name, colon, _ = text.partition(":")
    if not colon or not text.isprintable() or field_flaw(f"{name}: x\r\n".encode("utf-8", "replace")):
        raise asked.BadRequest(f'header: a field such as "Subject: Hello" is wanted, not {text[:60]!r}')
    return text


def _found(document: Json | None, queue_id: str) -> Json:
    if document is None:
        raise Refused(404, f"there is no message {queue_id[:100]!r} in the queue")
    return document


def _content(request: Request) -> bytes:
    assert request.content is not None  # set before the request is processed
    data: bytes = request.content.read()
    return data
