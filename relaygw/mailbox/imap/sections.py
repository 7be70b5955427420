"""What BODY[section] means in octets of a message (RFC 3501 6.4.5). Pure; every answer is a slice of what is stored."""

from collections.abc import Callable

from relaygw.core.headers import fields
from relaygw.mailbox.imap.commands import Section, Text
from relaygw.mailbox.imap.structure import Part, header_end


def needs_structure(section: Section) -> bool:
    """Whether the parts must be known, rather than only where the header section ends."""
    return bool(section.part)


def cut(section: Section, octets: bytes) -> bytes:
    """What a partial fetch leaves of the section's octets."""
    if section.partial is None:
        return octets
    first, most = section.partial
    return octets[first : first + most]


def section_octets(section: Section, data: bytes, structure: Callable[[], Part]) -> bytes | None:
    """The octets of a section; None where the message has no such part. `structure` is called only when needed."""
    found = _bounds(section, data, structure)
    if found is None:
        return None
    start, end = found
    octets = data[start:end]
    if section.text in (Text.FIELDS, Text.FIELDS_NOT):
        octets = _chosen(octets, section.fields, section.text is Text.FIELDS)
    return cut(section, octets)


def _bounds(section: Section, data: bytes, structure: Callable[[], Part]) -> tuple[int, int] | None:
    if section.part:
        return _part_bounds(section, structure())
    if section.text is Text.WHOLE:
        return 0, len(data)
    body = header_end(data, 0, len(data))
    return (body, len(data)) if section.text is Text.TEXT else (0, body)


def _part_bounds(section: Section, root: Part) -> tuple[int, int] | None:
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
    container, part = root, None
    for number in numbers:
        if part is not None:
            inner = part if part.children else part.message
            if inner is None:
                return None
            container = inner
        if container.children:
            part = container.children[number - 1] if number <= len(container.children) else None
        else:
            part = container if number == 1 else None
        if part is None:
            return None
    return part


def _chosen(head: bytes, names: frozenset[bytes], wanted: bool) -> bytes:
    """The fields named, or not named, byte for byte, and the empty line (RFC 3501 6.4.5)."""
    rest = head[:-2] if head.endswith(b"\n\r\n") or head == b"\r\n" else head[:-1] if head.endswith(b"\n\n") else head
    kept = [field.raw for field in fields(rest) if (field.name.lower() in names) is wanted]
    return b"".join(kept) + (head[len(rest) :] or b"\r\n")
