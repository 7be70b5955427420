"""A message as a conversation needs it: the signed content ready for the wire, or readable in pieces when large.

Small contents are stuffed once, whole, and serve every host that is tried. Large ones are read twice, off the reactor
thread and never whole: once to learn whether they can be sent at all, once per sending.
"""

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool

from relaygw.core.content import Content
from relaygw.core.envelope import Body, Envelope
from relaygw.core.stuffing import BareLineEnd, Stuffer, stuff, survey

SMALL = 256 * 1024
"""Octets up to which a content is handled whole."""

PIECE = 256 * 1024
"""Octets read per visit to a thread, at least."""

T = TypeVar("T")
InThread = Callable[[Callable[[], T]], Deferred[T]]


def in_thread(reactor: Any) -> Callable[[Callable[[], Any]], Deferred[Any]]:
    """How to run something in the reactor's thread pool."""
    return lambda function: deferToThreadPool(reactor, reactor.getThreadPool(), function)


@attrs.frozen(kw_only=True, eq=False)
class Message:
    """`prefix` is put on top of `content` (our signatures). `wire` is all of it as sent after 354, where small."""

    envelope: Envelope
    prefix: bytes
    content: Content
    eight_bit: bool
    wire: bytes | None
    run: Callable[[Callable[[], Any]], Deferred[Any]]

    @property
    def size(self) -> int:
        """Octets as SIZE counts them (RFC 1870 3): line ends included, stuffing not."""
        return len(self.prefix) + self.content.size

    @property
    def head_is_ascii(self) -> bool:
        return self.content.head.isascii()


async def prepare(
    envelope: Envelope, prefix: bytes, content: Content, run: Callable[[Callable[[], Any]], Deferred[Any]]
) -> Message:
    """The message ready to be sent; raises BareLineEnd where it must not be."""
    declared = envelope.body is Body.EIGHT_BIT
    if content.size <= SMALL:
        data = b"".join(chain((prefix,), content.chunks()))
        eight_bit, wire = not data.isascii(), stuff(data)
    else:
        found = await run(lambda: survey(chain((prefix,), content.chunks())))
        if not found.sound:
            raise BareLineEnd("the content holds a bare CR or LF")
        eight_bit, wire = found.eight_bit, None
    return Message(
        envelope=envelope, prefix=prefix, content=content, eight_bit=eight_bit or declared, wire=wire, run=run
    )


def wire_pieces(message: Message) -> Iterator[bytes]:
    """What follows the 354, in pieces of about PIECE octets; reads a file."""
    stuffer = Stuffer()
    waiting: list[bytes] = []
    size = 0
    for piece in chain((message.prefix,), message.content.chunks()):
        waiting.append(stuffer.feed(piece))
        size += len(waiting[-1])
        if size >= PIECE:
            yield b"".join(waiting)
            waiting, size = [], 0
    yield b"".join([*waiting, stuffer.finish()])
