"""What a search for text looks at: headers and text parts of a message, decoded to text without case (RFC 3501 6.4.4).

Hostile encodings never raise: what cannot be decoded is searched as it stands. Parts that are not text are not searched
(RFC 9051 6.4.4 leaves that to the server).
"""

import binascii
import codecs
import re
from collections.abc import Iterator

from relaygw.core.charsets import codec_of
from relaygw.core.content import Content
from relaygw.core.headers import fields
from relaygw.mailbox.imap.parameters import parameter
from relaygw.mailbox.imap.structure import Part, scan

MAX_SEARCHED = 4 * 1024 * 1024
"""Octets of one part that are looked at."""
SLICE = 256 * 1024
"""Octets made text at a time: the reactor's thread has its turn between them, which it has in no single operation."""
MAX_HEADER = 1024 * 1024

_WORD = re.compile(r"=\?([^?\s*]{1,60})(?:\*[^?\s]*)?\?([bBqQ])\?([^?\s]*)\?=(?:\s+(?==\?))?")


class SearchedMessage:
    """One message as a search sees it; each view is made once, when first asked for. Reading may block."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._fields: dict[str, list[str]] | None = None
        self._body: str | None = None

    def header(self, name: str) -> list[str]:
        """The values of all fields of this name, folded for comparison."""
        if self._fields is None:
            self._fields = {}
            for field in fields(self._content.head):
                self._fields.setdefault(_text(field.name).lower(), []).append(decoded_words(field.value).casefold())
        return self._fields.get(name, [])

    def body(self) -> str:
        """The text of the body, folded for comparison."""
        if self._body is None:
            data = b"".join(self._content.chunks())
            self._body = "\n".join(_texts(data, scan(data), top=True))
        return self._body

    def head(self) -> str:
        """The header section, folded for comparison."""
        return decoded_head(self._content.head).casefold()


def _texts(data: bytes, part: Part, top: bool = False) -> Iterator[str]:
    """All that is text in the message, folded for comparison."""
    if not top:
        yield decoded_head(data[part.start : min(part.body, part.start + MAX_HEADER)]).casefold()
    if part.message is not None:
        yield from _texts(data, part.message)
    for child in part.children:
        yield from _texts(data, child)
    if part.main.lower() == b"text":
        body = transfer_decoded(data[part.body : min(part.end, part.body + MAX_SEARCHED)], part.encoding)
        yield "".join(_folded(body, (parameter(part.parameters, b"CHARSET") or b"utf-8").decode("ascii", "replace")))


def _folded(octets: bytes, charset: str) -> Iterator[str]:
    """A long text, folded for comparison, in pieces."""
    codec = codec_of(charset)
    if codec in ("utf_16", "utf_32"):  # which want to see whether a mark of their order comes first
        yield _text(octets, charset).casefold()
        return
    decoder = codecs.getincrementaldecoder("utf-8" if codec in ("", "ascii") else codec)("replace")
    for start in range(0, len(octets), SLICE):
        yield decoder.decode(octets[start : start + SLICE], start + SLICE >= len(octets)).casefold()


def transfer_decoded(body: bytes, encoding: bytes) -> bytes:
    """Without its Content-Transfer-Encoding; as it stands where that fails."""
    kind = encoding.lower()
    try:
        if kind == b"base64":
            return binascii.a2b_base64(body)
        if kind == b"quoted-printable":
            return binascii.a2b_qp(body)
    except binascii.Error:
        pass
    return body


def decoded_head(head: bytes) -> str:
    """A header section as text, a field a line."""
    return "\n".join(f"{_text(field.name)}: {decoded_words(field.value)}" for field in fields(head))


def decoded_words(value: bytes) -> str:
    """A field's value with its encoded words (RFC 2047) read."""
    text = _text(value)
    return _WORD.sub(_word, text) if "=?" in text else text


def _word(found: "re.Match[str]") -> str:
    charset, kind, payload = found.groups()
    octets = payload.encode("utf-8", "replace")
    try:
        if kind in "bB":
            octets = binascii.a2b_base64(octets + b"=" * (-len(octets) % 4))
        else:
            octets = binascii.a2b_qp(octets, header=True)
    except binascii.Error:
        return found.group()
    return _text(octets, charset)


def _text(octets: bytes, charset: str = "utf-8") -> str:
    """Text in the charset named, in UTF-8 where that is none, never an error."""
    codec = codec_of(charset)
    try:
        return octets.decode("utf-8" if codec in ("", "ascii") else codec, "replace")
    except ValueError:
        return octets.decode("utf-8", "replace")
