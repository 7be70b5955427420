"""Any header section keeps every octet but the addresses that are changed, and what was changed is changed once."""

from relaygw.core.address import Address
from relaygw.core.header_addresses import RECIPIENTS, SENDERS, replace_addresses

SEEDS = (
    b'From: a@b.test\r\nTo: x@b.test, "y, z" <z@b.test>\r\n',
    b'Cc: Group: c@b.test, d . e @b.test;, "q u"@b.test (com (nest) ment)\r\n',
    b"To: <@route.test:a@b.test> <b@b.test>\r\n\t<c@b.test>\r\n",
    b"To: =?utf-8?q?J=C3=BCrgen?= <j\xc3\xbcrgen@b.test>, \xff@b.test\r\n",
    b'To: "a@b.test\r\nFrom: (a@b.test\r\n',
)
NAMES = SENDERS | RECIPIENTS


def changed(address: Address) -> Address:
    return Address(address.local, "other.test") if address.domain == "b.test" else address


def one_input(data: bytes) -> None:
    assert replace_addresses(data, NAMES, lambda address: address) is data
    new = replace_addresses(data, NAMES, changed)
    if new is data:
        return
    assert b"other.test" in new
    again = replace_addresses(new, NAMES, changed)
    assert again is new or b"b.test" in new
    # Without the domains, and the folds that a longer line may need, nothing has changed.
    assert _bare(new) == _bare(data)


def _bare(head: bytes) -> bytes:
    text = head.lower().replace(b"other.test", b"b.test").replace(b'"', b"").replace(b"\\", b"")
    return text.replace(b"\r", b"").replace(b"\n", b"").replace(b" ", b"")
