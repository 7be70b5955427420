"""One message's FETCH answer as fragments (RFC 3501 7.4.2): octets, and stretches of large messages to be streamed.

What a message is asked for decides how much of it is read: nothing, its header section, or once all of it for its
structure. Reading blocks: everything with a Message is for threads.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import attrs

from relaygw.core.content import MAX_HEADER
from relaygw.mailbox.imap.commands import Attribute, FetchItem, Section, Text
from relaygw.mailbox.imap.dates import format_date_time
from relaygw.mailbox.imap.render import envelope, literal, structure
from relaygw.mailbox.imap.sections import chosen_fields, cut, section_range
from relaygw.mailbox.imap.structure import Part, header_end, scan
from relaygw.mailbox.maildir import StoredContent
from relaygw.mailbox.values import Cached, Entry

STREAMED = 64 * 1024
"""Octets of a section above which it is streamed from its file rather than held."""

COMPUTED = frozenset((Attribute.ENVELOPE, Attribute.BODY, Attribute.BODYSTRUCTURE))
"""What the index caches."""

_MARK = b"1 "
"""Begins what we cache: another way of computing it gets another mark."""


@attrs.frozen(eq=False)
class Stretch:
    """Octets [start, start + size) of a message, still in its file."""

    content: StoredContent
    start: int
    size: int


Fragment = bytes | Stretch


@attrs.frozen
class Shown:
    """What the index says of a message, as the answer shows it; `flags` is the list in parentheses."""

    number: int
    entry: Entry
    flags: bytes


@attrs.frozen
class Computed:
    """ENVELOPE, BODY and BODYSTRUCTURE of a message, ready for the wire."""

    envelope: bytes
    body: bytes
    bodystructure: bytes

    def cached(self) -> Cached:
        """As the index keeps it."""
        sized = _MARK + b"%d " % len(self.body)
        return Cached(envelope=_MARK + self.envelope, structure=sized + self.body + self.bodystructure)

    def item(self, attribute: Attribute) -> bytes:
        """The answer to one of COMPUTED."""
        if attribute is Attribute.ENVELOPE:
            return b"ENVELOPE " + self.envelope
        return b"BODY " + self.body if attribute is Attribute.BODY else b"BODYSTRUCTURE " + self.bodystructure


def computed(cached: Cached | None) -> Computed | None:
    """What `Computed.cached` made, read back; None for anything else."""
    if cached is None or not (cached.envelope.startswith(_MARK) and cached.structure.startswith(_MARK)):
        return None
    length, space, rest = cached.structure[len(_MARK) :].partition(b" ")
    if not space or not length.isdigit() or int(length) > len(rest):
        return None
    return Computed(cached.envelope[len(_MARK) :], rest[: int(length)], rest[int(length) :])


def opens(items: Iterable[FetchItem]) -> bool:
    """Whether the message itself must be opened, whatever is cached."""
    return any(isinstance(item, Section) for item in items)


def computes(items: Iterable[FetchItem]) -> bool:
    """Whether the cache helps."""
    return any(item in COMPUTED for item in items)


def sets_seen(items: Iterable[FetchItem]) -> bool:
    """Whether fetching these sets \\Seen (RFC 3501 6.4.5)."""
    return any(isinstance(item, Section) and not item.peek for item in items)


_INDEXED: dict[FetchItem, Callable[[Shown], bytes]] = {
    Attribute.FLAGS: lambda shown: b"FLAGS " + shown.flags,
    Attribute.UID: lambda shown: b"UID %d" % shown.entry.uid,
    Attribute.INTERNALDATE: lambda shown: b"INTERNALDATE " + format_date_time(shown.entry.internal_date),
    Attribute.SIZE: lambda shown: b"RFC822.SIZE %d" % shown.entry.size,
}


def light_item(item: FetchItem, shown: Shown, found: Computed | None) -> bytes:
    """The answer to an item that is no section; `found` is there for those of COMPUTED."""
    maker = _INDEXED.get(item)
    if maker is not None:
        return maker(shown)
    if found is None or not isinstance(item, Attribute):
        raise ValueError(f"{item} cannot be answered from the index")
    return found.item(item)


def light_answer(items: Sequence[FetchItem], shown: Shown, found: Computed | None) -> bytes:
    """The answer where no item is a section."""
    return b"* %d FETCH (%b)\r\n" % (shown.number, b" ".join([light_item(item, shown, found) for item in items]))


class Message:
    """A stored message as FETCH looks at it. Blocking; each view is made once. `part`: its structure, if known."""

    def __init__(self, content: StoredContent, part: Part | None = None) -> None:
        self.content = content
        self.known_part = part
        self._data: bytes | None = None

    @property
    def size(self) -> int:
        return self.content.size

    @property
    def data(self) -> bytes:
        """All of it, in memory."""
        if self._data is None:
            self._data = b"".join(self.content.chunks())
        return self._data

    @property
    def part(self) -> Part:
        if self.known_part is None:
            self.known_part = scan(self.data)
        return self.known_part

    @property
    def body(self) -> int:
        head = len(self.content.head)
        if head < MAX_HEADER:
            return min(head + 2, self.size)
        return header_end(self.data, 0, self.size)

    def read(self, start: int, size: int) -> bytes:
        """Some octets, without reading what is before or behind them."""
        if self._data is not None:
            return self._data[start : start + size]
        found = bytearray()
        for piece in self.content.chunks(start):
            found += piece
            if len(found) >= size:
                break
        return bytes(found[:size])

    def compute(self) -> Computed:
        """What is worth keeping in the index."""
        part, data = self.part, self.data
        return Computed(envelope(data[: part.body]), structure(part, data, False), structure(part, data, True))

    def fragments(self, items: Sequence[FetchItem], shown: Shown, found: Computed | None) -> Iterator[Fragment]:
        """The whole answer."""
        between = b"* %d FETCH (" % shown.number
        for item in items:
            yield between
            if isinstance(item, Section):
                yield item.label + b" "
                yield from self._section(item)
            else:
                yield light_item(item, shown, found)
            between = b" "
        yield b")\r\n"

    def _section(self, section: Section) -> Iterator[Fragment]:
        found = section_range(section, self)
        if found is None:
            yield b"NIL"
        elif section.text in (Text.FIELDS, Text.FIELDS_NOT):
            start, end = found
            octets = chosen_fields(self.read(start, end - start), section.fields, section.text is Text.FIELDS)
            first, last = cut(section.partial, (0, len(octets)))
            yield literal(octets[first:last])
        else:
            start, end = cut(section.partial, found)
            yield b"{%d}\r\n" % (end - start)
            yield self._stretch(start, end - start)

    def _stretch(self, start: int, size: int) -> Fragment:
        return self.read(start, size) if size <= STREAMED else Stretch(self.content, start, size)


def joined(fragments: Iterable[Fragment]) -> list[Fragment]:
    """The same fragments, with neighbouring octets made one."""
    found: list[Fragment] = []
    pending: list[bytes] = []
    for fragment in fragments:
        if isinstance(fragment, bytes):
            pending.append(fragment)
            continue
        found += [b"".join(pending), fragment]
        pending = []
    return [*found, b"".join(pending)]
