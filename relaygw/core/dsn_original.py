"""The part of a delivery report that brings the original back: all of it, or its header section.

A whole message is never encoded (RFC 2046 5.2.1): one with 8-bit content needs 8BITMIME again on its way back. Header
sections are, but for people whose address needs SMTPUTF8 (RFC 6533 6.2). What fits into none of these comes back as
header section.
"""

import quopri
import re

from relaygw.core.content import Content
from relaygw.core.envelope import Body
from relaygw.core.line_ends import has_bare
from relaygw.core.record import Record

HEAD_LIMIT = 32 * 1024
"""Octets of the original's header section that are returned."""

_LONG = re.compile(rb"[^\r\n]{999}")
_EIGHT_BIT = b"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
_QUOTED = b"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"


def original_part(record: Record, content: Content, *, limit: int, utf8: bool) -> tuple[bytes, bool]:
    """What comes back, the whole if no larger than `limit`, and whether it has 8-bit content."""
    if content.size <= limit and record.envelope.body is not Body.BINARY:
        data = b"".join(content.chunks())
        if _fits_mime(data):
            return _whole(data, content.head)
    return _header_section(content.head, utf8)


def _whole(data: bytes, head: bytes) -> tuple[bytes, bool]:
    if data.isascii():
        return b"Content-Type: message/rfc822\r\n\r\n" + data, False
    kind = b"message/global" if _is_global(head) else b"message/rfc822"  # RFC 6532 3.7
    return b"Content-Type: " + kind + _EIGHT_BIT + data, True


def _header_section(head: bytes, utf8: bool) -> tuple[bytes, bool]:
    if len(head) > HEAD_LIMIT:
        head = head[: head.rfind(b"\r\n", 0, HEAD_LIMIT) + 2]
    fits = _fits_mime(head)
    if fits and head.isascii():
        return b"Content-Type: text/rfc822-headers\r\n\r\n" + head, False
    if fits and utf8 and _is_global(head):
        return b"Content-Type: message/global-headers" + _EIGHT_BIT + head, True
    charset = b"utf-8" if head.isascii() or _is_global(head) else b"unknown-8bit"  # RFC 1428
    return b"Content-Type: text/rfc822-headers; charset=" + charset + _QUOTED + _quoted(head), False


def _is_global(head: bytes) -> bool:
    """Whether the header section is internationalized (RFC 6532), not merely broken or plain."""
    if head.isascii():
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _fits_mime(data: bytes) -> bool:
    """Whether it can stand in a MIME part without an encoding (RFC 2045 2.7, 2.8)."""
    return b"\0" not in data and not has_bare(data) and _LONG.search(data) is None


def _quoted(data: bytes) -> bytes:
    """Quoted-printable with CRLF line ends (RFC 2045 6.7)."""
    return quopri.encodestring(data.replace(b"\r\n", b"\n")).replace(b"\r", b"=0D").replace(b"\n", b"\r\n")
