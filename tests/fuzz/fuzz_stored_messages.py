"""Any stored message can be shown and searched: parts lie within it and in order, sections are stretches of it, and its
binary parts are encoded the same however it is cut."""

from relaygw.core.binary_parts import as_text
from relaygw.core.content import BytesContent
from relaygw.mailbox.imap.dates import sent_day
from relaygw.mailbox.imap.render import envelope, message_head, structure
from relaygw.mailbox.imap.search_text import SearchedMessage
from relaygw.mailbox.imap.sections import chosen_fields, locate
from relaygw.mailbox.imap.structure import Part, scan

SEEDS = (
    b'\3From: =?utf-8?q?J=C3=BCrgen?= <a@b.test>, G: "x y"@[192.0.2.1] (c (d));\r\n'
    b"Date: 1 Jan 2026 00:00 +0000\r\n\r\nx",
    b'\7Content-Type: multipart/mixed; boundary="b c"\r\n\r\n--b c\r\n\r\nx\r\n--b c\r\n'
    b"Content-Type: message/rfc822\r\n\r\nSubject: y\r\n\r\nz\r\n--b c--\r\n",
    b'\1Content-Type: text/plain; charset="iso-8859-1" (c); a*0="\\""\nContent-Transfer-Encoding: base64\n\n4+PjCg==',
    b"\2Content-Type: multipart/digest; boundary=b\r\nContent-Transfer-Encoding: binary\r\n\r\n"
    b"--b\r\n\r\nTo: <@a,@b:c@d>\r\n",
)


def one_input(data: bytes) -> None:
    size, data = (data[0] + 1, data[1:]) if data else (1, b"")
    root = scan(data)
    check(root, 0, len(data))
    for extended in (False, True):
        shown = structure(root, data, extended)
        assert shown.startswith(b"(")
        assert shown.endswith(b")")
    head = message_head(data)
    assert envelope(head).startswith(b"(")
    assert chosen_fields(head, frozenset({b"from"}), True)
    assert locate(root, (1, 1, 1)) is None or root.end == len(data)
    message = SearchedMessage(BytesContent(data))
    for text in (message.body(), message.head(), *message.header("subject")):
        assert text == text.casefold() or not text.isascii()
    for value in message.header("date"):
        sent_day(value)
    cut = b"".join(as_text(data[at : at + size] for at in range(0, len(data), size)))
    assert cut == b"".join(as_text([data]))


def check(part: Part, start: int, end: int) -> None:
    assert start <= part.start <= part.body <= part.end <= end
    for child in part.children:
        check(child, start, part.end)
        start = child.end
    if part.message is not None:
        check(part.message, part.body, part.end)
