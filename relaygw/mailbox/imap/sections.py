"""Where in a message BODY[section] is (RFC 3501 6.4.5). Pure; every answer is a stretch of what is stored."""

from typing import Protocol

from relaygw.core.headers import fields
from relaygw.mailbox.imap.commands import Section, Text
from relaygw.mailbox.imap.structure import Part

Range = tuple[int, int]


class Located(Protocol):
    """What is known of a message; each property may cost something when it is first asked for."""

    @property
    def size(self) -> int:
        """Octets in all."""
        ...

    @property
    def body(self) -> int:
        """Where the body begins, after the empty line."""
        ...

    @property
    def part(self) -> Part:
        """The structure."""
        ...


def section_range(section: Section, message: Located) -> Range | None:
    """First octet and end of the text of a section, not yet cut to its partial; None: the message has no such part."""
    if section.part:
        return _part_range(section, message.part)
    if section.text is Text.WHOLE:
        return 0, message.size
    return (message.body, message.size) if section.text is Text.TEXT else (0, message.body)


def _part_range(section: Section, root: Part) -> Range | None:
    part = locate(root, section.part)
    if part is None:
        return None
    if section.text is Text.WHOLE:
        return part.body, part.end
    if section.text is Text.MIME:
        return part.start, part.body
    if part.message is None:
        return None
    inner = part.message
    return (inner.body, inner.end) if section.text is Text.TEXT else (inner.start, inner.body)


def locate(root: Part, numbers: tuple[int, ...]) -> Part | None:
    """The part with this number. A message that is no multipart is its own part 1, at the top and when carried."""
    part: Part | None = None
    container = root
    for number in numbers:
        if part is not None:
            inner = part if part.children else part.message
            if inner is None:
                return None
            container = inner
        parts = container.children or (container,)
        if number > len(parts):
            return None
        part = parts[number - 1]
    return part


def cut(partial: tuple[int, int] | None, whole: Range) -> Range:
    """What a partial fetch leaves of a range."""
    if partial is None:
        return whole
    start, end = whole
    first, most = partial
    return min(start + first, end), min(start + first + most, end)


def chosen_fields(head: bytes, names: frozenset[bytes], wanted: bool) -> bytes:
    """The fields named, or not named, byte for byte, and the empty line, which is always there (RFC 3501 6.4.5)."""
    rest = head[:-2] if head.endswith(b"\n\r\n") or head == b"\r\n" else head[:-1] if head.endswith(b"\n\n") else head
    kept = [field.raw for field in fields(rest) if (field.name.lower() in names) is wanted]
    return b"".join(kept) + (head[len(rest) :] or b"\r\n")
