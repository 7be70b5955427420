"""PROXY headers of both versions: a header, or one ProxyError; what follows is untouched; limits at n and n + 1."""

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaygw.core.proxy import MAX_HEADER, ProxyError, ProxyHeader, ProxyParser

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
IPV4 = ipaddress.IPv4Address("192.0.2.7").packed + ipaddress.IPv4Address("198.51.100.1").packed
IPV6 = ipaddress.IPv6Address("2001:db8::7").packed + ipaddress.IPv6Address("2001:db8::1").packed
PORTS = struct.pack("!HH", 40000, 25)


def binary(body: bytes = IPV4 + PORTS, kind: int = 0x11, command: int = 0x21, length: int | None = None) -> bytes:
    return SIGNATURE + bytes([command, kind]) + struct.pack("!H", len(body) if length is None else length) + body


def parse(data: bytes, sizes: int = 1 << 20) -> tuple[ProxyHeader | None, bytes]:
    """The header, and what is behind it, when the octets come in pieces of this size."""
    parser = ProxyParser()
    for at in range(0, len(data), sizes):
        header = parser.feed(data[at : at + sizes])
        if header is not None:
            return header, parser.rest + data[at + sizes :]
    return None, b""


@pytest.mark.parametrize(
    ("header", "source"),
    [
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\r\n", ("192.0.2.7", 40000)),
        (b"PROXY TCP6 2001:DB8:0::7 2001:db8::1 0 65535\r\n", ("2001:db8::7", 0)),
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY UNKNOWN ffff:f...f:ffff what ever 1 2 3\r\n", None),
        (binary(), ("192.0.2.7", 40000)),
        (binary(IPV6 + PORTS, 0x21), ("2001:db8::7", 40000)),
        (binary(b"/client".ljust(108, b"\0") + b"/server".ljust(108, b"\0"), 0x31), ("", 0)),
        (binary(IPV4 + PORTS + b"\x04\x00\x02xy" + b"\x01\x00\x00"), ("192.0.2.7", 40000)),
        (binary(b"", 0x00), None),
        (binary(b"", 0x00, command=0x20), None),
        (binary(b"anything", 0x11, command=0x20), None),
        (binary(b"\xff" * 4, 0xFF, command=0x20), None),
    ],
)
def test_whose_the_connection_is(header: bytes, source: tuple[str, int] | None) -> None:
    for size in (1 << 20, 1, 7):
        assert parse(header + b"EHLO \r\nPROXY", size) == (ProxyHeader(source), b"EHLO \r\nPROXY")


@pytest.mark.parametrize(
    "header",
    [
        b"EHLO client.test\r\n",
        b"PROXZ",
        b"proxy TCP4 192.0.2.7 198.51.100.1 1 25\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 40000\r\n",
        b"PROXY TCP4 192.0.2.7  198.51.100.1 40000 25\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 25 \r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 65536\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 -1 25\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 007 25\r\n",
        b"PROXY TCP4 192.0.2.256 198.51.100.1 1 25\r\n",
        b"PROXY TCP4 2001:db8::7 2001:db8::1 1 25\r\n",
        b"PROXY TCP6 192.0.2.7 198.51.100.1 1 25\r\n",
        b"PROXY TCP6 fe80::1%eth0 ::1 1 25\r\n",
        b"PROXY UDP4 192.0.2.7 198.51.100.1 1 25\r\n",
        b"PROXY \xff\r\n",
        binary(command=0x11),
        binary(command=0x22),
        binary(kind=0x12),
        binary(kind=0x41),
        binary(kind=0x14),
        binary(IPV4),
        binary(IPV4 + PORTS, 0x21),
        binary(IPV4 + PORTS + b"\x04\x00"),
        binary(IPV4 + PORTS + b"\x04\x00\x03xy"),
    ],
)
def test_what_is_no_header(header: bytes) -> None:
    with pytest.raises(ProxyError):
        parse(header)
    with pytest.raises(ProxyError):
        parse(header, 1)


def test_a_line_of_107_octets_and_one_of_108() -> None:
    filler = b"PROXY UNKNOWN ".ljust(105, b"x")
    assert parse(filler + b"\r\n")[0] == ProxyHeader(None)
    with pytest.raises(ProxyError):
        parse(filler + b"x\r\n")


def test_a_header_of_the_greatest_length_and_one_octet_more() -> None:
    additions = MAX_HEADER - len(SIGNATURE) - 4 - 12
    longest = IPV4 + PORTS + b"\xee" + struct.pack("!H", additions - 3) + b"\0" * (additions - 3)
    assert len(binary(longest)) == MAX_HEADER
    assert parse(binary(longest) + b"x") == (ProxyHeader(("192.0.2.7", 40000)), b"x")
    with pytest.raises(ProxyError):
        parse(binary(b"", length=len(longest) + 1))


def test_half_a_header_is_waited_for() -> None:
    for header in (binary(), b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\r\n"):
        for length in range(len(header)):
            assert parse(header[:length], 3) == (None, b"")


@given(
    st.one_of(
        st.binary(max_size=300),
        st.binary(max_size=60).map(lambda tail: b"PROXY " + tail),
        st.binary(max_size=60).map(lambda tail: b"PROXY TCP4 192.0.2.7 " + tail + b"\r\n"),
        st.builds(binary, st.binary(max_size=300), st.integers(0, 255), st.integers(0, 255)),
    ),
    st.integers(1, 50),
)
def test_any_octets_are_a_header_or_a_proxy_error(data: bytes, size: int) -> None:
    """And the cut into pieces changes nothing."""
    results: list[object] = []
    for sizes in (1 << 20, size):
        try:
            results.append(parse(data, sizes))
        except ProxyError:
            results.append("refused")
    assert results[0] == results[1]
    if isinstance(results[0], tuple) and results[0][0] is not None and results[0][0].source is not None:
        host, port = results[0][0].source
        assert host == "" or ipaddress.ip_address(host)
        assert 0 <= port < 65536
