"""Values as IMAP writes them (RFC 3501 9): strings, lists, ENVELOPE, BODY and BODYSTRUCTURE. Pure."""

import re
from collections.abc import Iterable

from relaygw.core.headers import fields
from relaygw.mailbox.imap.addresses import END_OF_GROUP, ListedAddress, parse_addresses
from relaygw.mailbox.imap.parameters import Parameters
from relaygw.mailbox.imap.structure import Part, header_end
from relaygw.mailbox.imap.utf7 import encode_name

MAX_QUOTED = 1000
MAX_HEADER = 256 * 1024
"""Octets of a header section that ENVELOPE looks at."""

_ATOM = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\\]]+')
_QUOTABLE = re.compile(rb"[\x01-\x09\x0b\x0c\x0e-\x7f]*")
_ADDRESS_FIELDS = (b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc")
_ENVELOPE_FIELDS = frozenset((b"date", b"subject", *_ADDRESS_FIELDS, b"in-reply-to", b"message-id"))


def string(value: bytes) -> bytes:
    """A quoted string, or a literal where quotes will not do."""
    if len(value) > MAX_QUOTED or not _QUOTABLE.fullmatch(value):
        return literal(value)
    if b"\\" in value or b'"' in value:
        value = value.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    return b'"' + value + b'"'


def literal(value: bytes) -> bytes:
    """A literal. It cannot hold NUL (RFC 3501 9 CHAR8)."""
    return b"{%d}\r\n%b" % (len(value), value)


def nstring(value: bytes | None) -> bytes:
    """A string, or NIL."""
    return b"NIL" if value is None else string(value.replace(b"\x00", b""))


def mailbox(name: str) -> bytes:
    """A mailbox name."""
    wire = encode_name(name)
    return wire if _ATOM.fullmatch(wire) and wire.upper() != b"NIL" else string(wire)


def parenthesized(items: Iterable[bytes]) -> bytes:
    """A list."""
    return b"(" + b" ".join(items) + b")"


def envelope(head: bytes) -> bytes:
    """The ENVELOPE of a message with this header section (RFC 3501 7.4.2)."""
    said: dict[bytes, list[bytes]] = {}
    for field in fields(head[:MAX_HEADER]):
        name = field.name.lower()
        if name in _ENVELOPE_FIELDS:
            said.setdefault(name, []).append(field.value)
    lists = {name: _addresses(said.get(name, ())) for name in _ADDRESS_FIELDS}
    for name in (b"sender", b"reply-to"):
        if lists[name] == b"NIL":
            lists[name] = lists[b"from"]
    texts = {name: nstring(said[name][0] if name in said else None) for name in (b"date", b"subject")}
    ids = (nstring(said[name][0] if name in said else None) for name in (b"in-reply-to", b"message-id"))
    return parenthesized((texts[b"date"], texts[b"subject"], *(lists[name] for name in _ADDRESS_FIELDS), *ids))


def _addresses(values: Iterable[bytes]) -> bytes:
    found = [address for value in values for address in parse_addresses(value)]
    return b"(" + b"".join(_address(address) for address in found) + b")" if found else b"NIL"


def _address(address: ListedAddress) -> bytes:
    if address is END_OF_GROUP:
        return b"(NIL NIL NIL NIL)"
    return parenthesized(nstring(value) for value in (address.name, address.route, address.mailbox, address.host))


def structure(part: Part, data: bytes, extended: bool) -> bytes:
    """BODYSTRUCTURE, or with `extended` False, BODY. Recursion is as deep as structure.MAX_DEPTH."""
    if part.children:
        return _multipart(part, data, extended)
    fields_ = [
        string(part.main),
        string(part.sub),
        _parameters(part.parameters),
        nstring(part.content_id),
        nstring(part.description),
        string(part.encoding),
        b"%d" % part.size,
    ]
    if part.message is not None:
        inner = part.message
        fields_ += [envelope(data[inner.start : inner.body]), structure(inner, data, extended), b"%d" % part.lines]
    elif part.main.lower() == b"text":
        fields_.append(b"%d" % part.lines)
    if extended:
        fields_ += [nstring(part.md5), *_extension(part)]
    return parenthesized(fields_)


def _multipart(part: Part, data: bytes, extended: bool) -> bytes:
    children = b"".join(structure(child, data, extended) for child in part.children)
    rest = [string(part.sub)]
    if extended:
        rest += [_parameters(part.parameters), *_extension(part)]
    return b"(" + children + b" " + b" ".join(rest) + b")"


def _extension(part: Part) -> tuple[bytes, bytes, bytes]:
    disposition = b"NIL"
    if part.disposition is not None:
        kind, parameters = part.disposition
        disposition = parenthesized((string(kind), _parameters(parameters)))
    languages = parenthesized(string(tag) for tag in part.languages) if part.languages else b"NIL"
    return disposition, languages, nstring(part.location)


def _parameters(parameters: Parameters) -> bytes:
    if not parameters:
        return b"NIL"
    return parenthesized(string(text.replace(b"\x00", b"")) for pair in parameters for text in pair)


def message_head(data: bytes) -> bytes:
    """The header section of a message, with its empty line."""
    return data[: header_end(data, 0, len(data))]
