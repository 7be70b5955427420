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
from relaygw.core.headers import values
from relaygw.core.stuffing import BareLineEnd, Stuffer, stuff, survey

_WAIVER = b"TLS-Required"

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
    """`prefix` is put on top of `content` (our signatures). `wire` is all of it as sent after 354, where small.

    `binary` content holds what DATA cannot carry (RFC 3030 3); `ended` tells that the last line has its CRLF.
    """

    envelope: Envelope
    prefix: bytes
    content: Content
    eight_bit: bool
    wire: bytes | None
    run: Callable[[Callable[[], Any]], Deferred[Any]]
    binary: bool = False
    ended: bool = True

    @property
    def body(self) -> Body:
        """What MAIL says of the content."""
        if self.binary:
            return Body.BINARY
        return Body.EIGHT_BIT if self.eight_bit else Body.SEVEN_BIT

    @property
    def size(self) -> int:
        """Octets as SIZE counts them (RFC 1870 3): line ends included, stuffing not."""
        return len(self.prefix) + self.content.size

    @property
    def waives_tls(self) -> bool:
        """Whether its author would rather have it delivered than protected (RFC 8689 5), and nobody asked for more."""
        return not self.envelope.requiretls and [value.lower() for value in values(self.content.head, _WAIVER)] == [
            b"no"
        ]

    @property
    def head_is_ascii(self) -> bool:
        return self.content.head.isascii()


async def prepare(
    envelope: Envelope, prefix: bytes, content: Content, run: Callable[[Callable[[], Any]], Deferred[Any]]
) -> Message:
    """The message ready to be sent; raises BareLineEnd where it must not be."""
    declared = envelope.body is not Body.SEVEN_BIT
    whole = b"".join(chain((prefix,), content.chunks())) if content.size <= SMALL else None
    found = survey((whole,)) if whole is not None else await run(lambda: survey(chain((prefix,), content.chunks())))
    # BINARYMIME that is text after all (most of it is) travels like text: not an octet of it changes.
    binary = envelope.body is Body.BINARY and (found.nul or not found.sound)
    if not (found.sound or binary):
        raise BareLineEnd("the content holds a bare CR or LF")
    return Message(
        envelope=envelope,
        prefix=prefix,
        content=content,
        eight_bit=found.eight_bit or declared,
        wire=stuff(whole) if whole is not None and not binary else None,
        run=run,
        binary=binary,
        ended=found.ended,
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


def chunk_pieces(message: Message) -> Iterator[bytes]:
    """What follows BDAT: every octet as it is, in pieces of about PIECE octets; reads a file."""
    waiting: list[bytes] = []
    size = 0
    for piece in chain((message.prefix,), message.content.chunks()):
        waiting.append(piece)
        size += len(piece)
        if size >= PIECE:
            yield b"".join(waiting)
            waiting, size = [], 0
    yield b"".join(waiting)
