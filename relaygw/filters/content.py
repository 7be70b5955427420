"""Reading content from a filter: small contents at once, large ones in a thread, so that the reactor goes on."""

from collections.abc import Awaitable
from typing import Any, Protocol

from twisted.internet.threads import deferToThreadPool

from relaygw.core.content import Content

SMALL = 256 * 1024
"""Octets of content up to which reading takes less than a visit to a thread: half a millisecond, 15 for the oddest."""


class Body(Protocol):
    """What takes a body: pieces, and then its end."""

    def feed(self, data: bytes, /) -> None: ...
    def finish(self) -> None: ...


def read_body(content: Content, body: Body, reactor: Any) -> Awaitable[None] | None:
    """Hand over the body in pieces and its end; None where that is done already. `reactor` provides IReactorThreads."""

    def read() -> None:
        for piece in content.chunks(len(content.head) + 2):
            body.feed(piece)
        body.finish()  # millions of empty lines may have waited for what comes after them

    if content.size <= SMALL:
        read()
        return None
    awaited: Awaitable[None] = deferToThreadPool(reactor, reactor.getThreadPool(), read)
    return awaited
