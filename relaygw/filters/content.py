"""Reading content from a filter: small contents at once, large ones in a thread, so that the reactor goes on."""

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.threads import deferToThreadPool

from relaygw.core.content import Content

SMALL = 256 * 1024
"""Octets of content up to which reading takes less than a visit to a thread: half a millisecond, 15 for the oddest."""


def read_body(content: Content, feed: Callable[[bytes], object], reactor: Any) -> Awaitable[None] | None:
    """Hand the body to `feed` in pieces; None where that is done already. `reactor` provides IReactorThreads."""

    def read() -> None:
        for piece in content.chunks(len(content.head) + 2):
            feed(piece)

    if content.size <= SMALL:
        read()
        return None
    awaited: Awaitable[None] = deferToThreadPool(reactor, reactor.getThreadPool(), read)
    return awaited
