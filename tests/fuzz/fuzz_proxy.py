"""Any octets are a PROXY header or one ProxyError, however they are cut, and nothing behind the header is taken."""

import ipaddress

from relaygw.core.proxy import MAX_HEADER, ProxyError, ProxyHeader, ProxyParser

_BINARY = b"\r\n\r\n\x00\r\nQUIT\n"
SEEDS = (
    b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\r\nEHLO x",
    b"PROXY TCP6 2001:db8::7 2001:db8::1 40000 25\r\n",
    b"PROXY UNKNOWN\r\n",
    _BINARY + b"\x21\x11\x00\x0c" + bytes(range(12)) + b"EHLO x",
    _BINARY + b"\x21\x21\x00\x29" + bytes(36) + b"\x04\x00\x02ab",
    _BINARY + b"\x20\x00\x00\x00",
)


def _parse(data: bytes, size: int) -> tuple[ProxyHeader | None, bytes] | None:
    parser = ProxyParser()
    try:
        for at in range(0, len(data), size):
            header = parser.feed(data[at : at + size])
            assert header is not None or len(parser._buffer) <= MAX_HEADER
            if header is not None:
                return header, parser.rest + data[at + size :]
    except ProxyError:
        return None
    return None, b""


def one_input(data: bytes) -> None:
    found = _parse(data, len(data) or 1)
    assert found == _parse(data, 1) == _parse(data, 5)
    if found is None or found[0] is None:
        return
    assert data.endswith(found[1])
    source = found[0].source
    if source is not None and source[0]:
        assert str(ipaddress.ip_address(source[0])) == source[0]
        assert 0 <= source[1] < 65536
