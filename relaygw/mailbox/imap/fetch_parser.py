"""FETCH items (RFC 3501 6.4.5, fetch-att of 9) as values. `label` is what the answer will call them."""

import attrs

from relaygw.mailbox.imap.commands import Attribute, FetchItem, Section, Text
from relaygw.mailbox.imap.tokens import BadSyntax, Cursor

MAX_ITEMS = 100
"""Items in one FETCH, so that one short command cannot ask for a mailbox many times over."""
MAX_FIELDS = 500
"""Names of header fields in all of them."""

_MACROS: dict[bytes, tuple[FetchItem, ...]] = {
    b"FAST": (Attribute.FLAGS, Attribute.INTERNALDATE, Attribute.SIZE),
    b"ALL": (Attribute.FLAGS, Attribute.INTERNALDATE, Attribute.SIZE, Attribute.ENVELOPE),
    b"FULL": (Attribute.FLAGS, Attribute.INTERNALDATE, Attribute.SIZE, Attribute.ENVELOPE, Attribute.BODY),
}
_RFC822 = {
    b"RFC822": Section(label=b"RFC822"),
    b"RFC822.HEADER": Section(text=Text.HEADER, peek=True, label=b"RFC822.HEADER"),
    b"RFC822.TEXT": Section(text=Text.TEXT, label=b"RFC822.TEXT"),
}
_ATTRIBUTES = {attribute.value: attribute for attribute in Attribute}
_TEXTS = {text.value.encode("ascii"): text for text in Text if text is not Text.WHOLE}


def parse_fetch_items(cursor: Cursor) -> tuple[FetchItem, ...]:
    """A macro, one item, or a list of items; each is answered once however often it is asked for."""
    if not cursor.accept(b"("):
        name = _name(cursor)
        return _MACROS[name] if name in _MACROS else (_item(name, cursor),)
    items: list[FetchItem] = []
    named = 0
    while True:
        item = _item(_name(cursor), cursor)
        items.append(item)
        named += len(item.fields) if isinstance(item, Section) else 0
        if len(items) > MAX_ITEMS or named > MAX_FIELDS:
            raise BadSyntax("too many items to fetch")
        if cursor.accept(b")"):
            return tuple(dict.fromkeys(items))
        cursor.space()


def _name(cursor: Cursor) -> bytes:
    """The item's name up to `[`, which is an atom character but ends a name here."""
    for name in (b"BODY.PEEK[", b"BODY["):
        if cursor.accept(name):
            return name
    return cursor.keyword()


def _item(name: bytes, cursor: Cursor) -> FetchItem:
    if name.endswith(b"["):
        return _section(cursor, peek=name != b"BODY[")
    found: FetchItem | None = _ATTRIBUTES.get(name) or _RFC822.get(name)
    if found is None:
        raise BadSyntax("unknown item to fetch")
    return found


def _section(cursor: Cursor, peek: bool) -> Section:
    section = _partial(cursor, _inside(cursor))
    return attrs.evolve(section, peek=peek)


def _inside(cursor: Cursor) -> Section:
    part = _part(cursor)
    text = Text.WHOLE
    if cursor.peek() not in (b"]", b"") or not part:
        text = _text(cursor, part)
    fields = _fields(cursor) if text in (Text.FIELDS, Text.FIELDS_NOT) else ()
    cursor.expect(b"]")
    label = _label(part, text, fields)
    return Section(part=part, text=text, fields=frozenset(name.lower() for name in fields), label=label)


def _part(cursor: Cursor) -> tuple[int, ...]:
    numbers: list[int] = []
    while cursor.peek().isdigit():
        number = cursor.number()
        if not number or len(numbers) >= 100:
            raise BadSyntax("no such part number")
        numbers.append(number)
        if not cursor.accept(b"."):
            break
        if not cursor.peek().isalnum():
            raise BadSyntax("a part number or a section text expected")
    return tuple(numbers)


def _text(cursor: Cursor, part: tuple[int, ...]) -> Text:
    if not part and cursor.peek() == b"]":
        return Text.WHOLE
    for name in (b"HEADER.FIELDS.NOT", b"HEADER.FIELDS", b"HEADER", b"TEXT", b"MIME"):
        if cursor.accept(name):
            if name == b"MIME" and not part:
                raise BadSyntax("MIME needs a part number")
            return _TEXTS[name]
    raise BadSyntax("unknown section text")


def _fields(cursor: Cursor) -> tuple[bytes, ...]:
    cursor.expect(b" (")
    names = [cursor.astring()]
    while len(names) <= MAX_ITEMS and cursor.accept(b" "):
        names.append(cursor.astring())
    if len(names) > MAX_ITEMS:
        raise BadSyntax("too many header field names")
    cursor.expect(b")")
    if any(not name.isascii() or b"\r" in name or b"\n" in name for name in names):
        raise BadSyntax("bad header field names")
    return tuple(names)


def _label(part: tuple[int, ...], text: Text, fields: tuple[bytes, ...]) -> bytes:
    pieces = [b"%d" % number for number in part]
    if text is not Text.WHOLE:
        pieces.append(text.value.encode("ascii"))
    label = b"BODY[" + b".".join(pieces)
    if fields:
        label += b" (" + b" ".join(_field_name(name) for name in fields) + b")"
    return label + b"]"


def _field_name(name: bytes) -> bytes:
    if name and all(octet in _PLAIN for octet in name):
        return name
    return b'"' + name.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def _partial(cursor: Cursor, section: Section) -> Section:
    if not cursor.accept(b"<"):
        return section
    first = cursor.number()
    cursor.expect(b".")
    most = cursor.number()
    cursor.expect(b">")
    if not most:
        raise BadSyntax("a partial fetch of nothing")
    return attrs.evolve(section, partial=(first, most), label=section.label + b"<%d>" % first)
