"""The queue for the verbs of `relaygw queue`: the running service's, or the spool itself where nobody serves it."""

import time
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

from relaygw.cli.answer import MissingError, NotRunningError, UsageError
from relaygw.cli.client import Client
from relaygw.cli.context import Context
from relaygw.control import asked, queue, trash
from relaygw.control.shapes import Json

if TYPE_CHECKING:
    from relaygw.cli.direct import Near

T = TypeVar("T")

MOST_IDS = 500
"""Ids of one question; an id has 16 letters."""


class Queue(Protocol):
    """The queue, near or far; documents as in relaygw.control.queue and relaygw.control.trash."""

    def list_(self, given: asked.Asked) -> Json: ...

    def show(self, queue_id: str) -> Json | None: ...

    def why(self, queue_id: str) -> Json | None: ...

    def destinations(self, given: asked.Asked) -> Json: ...

    def order(self, verb: str, given: asked.Asked) -> Json: ...

    def trash(self, given: asked.Asked) -> Json: ...

    def change_trash(self, verb: str, given: asked.Asked) -> Json: ...


@contextmanager
def reach(context: Context) -> Iterator[Queue]:
    """The service's queue, or the spool's own where nobody serves it."""
    far = FarQueue(context.client)
    try:
        far.probe()
    except NotRunningError:
        from relaygw.cli.direct import near_queue

        try:
            with near_queue(context.config) as near:
                yield NearQueue(near)
        except asked.BadRequest as error:
            raise UsageError(str(error)) from None
        return
    yield far


class FarQueue:
    """The running service's queue."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def probe(self) -> None:
        """Raises NotRunningError where there is no service."""
        self._client.get("filters")

    def list_(self, given: asked.Asked) -> Json:
        """Some ids at a time: a question has a greatest length, and a list is in the order of ids."""
        if not given.get("id"):
            document: Json = self._client.get("queue", **given)
            return document
        ids = sorted({each for each in given["id"] if each > str(given.get("after") or "")})
        if not ids:
            return {"messages": [], "after": ""}
        document = self._client.get("queue", **{**given, "id": ids[:MOST_IDS]})
        return {**document, "after": document["after"] or (ids[MOST_IDS - 1] if len(ids) > MOST_IDS else "")}

    def show(self, queue_id: str) -> Json | None:
        return self._found("queue", queue_id)

    def why(self, queue_id: str) -> Json | None:
        return self._found("queue", queue_id, "why")

    def destinations(self, given: asked.Asked) -> Json:
        document: Json = self._client.get("destinations", **given)
        return document

    def order(self, verb: str, given: asked.Asked) -> Json:
        document: Json = self._client.post("queue", verb, body=given)
        return document

    def trash(self, given: asked.Asked) -> Json:
        document: Json = self._client.get("trash", **given)
        return document

    def change_trash(self, verb: str, given: asked.Asked) -> Json:
        document: Json = self._client.post("trash", verb, body=given)
        return document

    def _found(self, *parts: str) -> Json | None:
        try:
            document: Json = self._client.get(*parts)
        except MissingError:
            return None
        return document


class NearQueue:
    """A spool of our own for the time being; every question is answered at once."""

    def __init__(self, near: "Near") -> None:
        self._near = near

    def list_(self, given: asked.Asked) -> Json:
        return _now(queue.list_(self._near.operations, given, time.time()))

    def show(self, queue_id: str) -> Json | None:
        return _now(queue.show(self._near.operations, queue_id, time.time()))

    def why(self, queue_id: str) -> Json | None:
        return _now(queue.why(self._near.operations, queue_id))

    def destinations(self, given: asked.Asked) -> Json:
        return queue.destinations(self._near.operations, given)

    def order(self, verb: str, given: asked.Asked) -> Json:
        return _now(queue.order(self._near.operations, verb, given, self._near.routes))

    def trash(self, given: asked.Asked) -> Json:
        return _now(trash.list_(self._near.trash, given))

    def change_trash(self, verb: str, given: asked.Asked) -> Json:
        return _now(trash.change(self._near.trash, verb, given))


def _now(awaitable: Awaitable[T]) -> T:
    """Loads what needs Twisted only where there is no service to ask."""
    from relaygw.cli.direct import run_now

    return run_now(awaitable)
