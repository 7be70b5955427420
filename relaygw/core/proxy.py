"""The PROXY protocol, versions 1 and 2: the header a load balancer puts before a connection to say whose it is.

Sans-IO: octets in, a header out once it is whole, and what followed it; anything else is one ProxyError. Whom to
believe is not decided here. Memory is bounded by MAX_HEADER, and no octet behind the header is looked at.
"""

import ipaddress
import re

import attrs

_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_FIXED = 16
"""Octets of a version 2 header before its addresses."""
_MAX_LINE = 107
"""Octets of the longest version 1 header."""
MAX_HEADER = _FIXED + 4096
"""Octets of the longest header that is taken: addresses and the sender's additions (TLVs)."""

_PORT = re.compile(r"(?:0|[1-9][0-9]{0,4})\Z", re.ASCII)
_LOCAL, _PROXY = 0, 1
_ADDRESS_SIZES = {0: 0, 1: 12, 2: 36, 3: 216}
"""Octets of both addresses by family: unspecified, IPv4 and IPv6 with ports, UNIX paths."""


class ProxyError(ValueError):
    """The octets are no header; the message says why."""


@attrs.frozen
class ProxyHeader:
    """`source` is the client's address in canonical text and its port; None where the sender speaks for itself (LOCAL,
    UNKNOWN) and ("", 0) where the client came over a UNIX socket."""

    source: tuple[str, int] | None


class ProxyParser:
    """Fed until it answers; `rest` is what came behind the header then."""

    def __init__(self) -> None:
        self.rest = b""
        self._buffer = b""

    def feed(self, data: bytes) -> ProxyHeader | None:
        """The header, or None while it is not whole; raises ProxyError."""
        self._buffer += data
        begun = self._buffer[: len(_SIGNATURE)]
        if begun == _SIGNATURE[: len(begun)]:
            return self._version_2() if len(self._buffer) >= _FIXED else None
        if begun[:6] == b"PROXY "[: len(begun)]:
            return self._version_1()
        raise ProxyError("the connection does not begin with a PROXY header")

    def _version_1(self) -> ProxyHeader | None:
        end = self._buffer.find(b"\r\n", 0, _MAX_LINE)
        if end < 0:
            if len(self._buffer) >= _MAX_LINE:
                raise ProxyError("the header has no end")
            return None
        line, self.rest = self._buffer[:end], self._buffer[end + 2 :]
        return _read_line(line)

    def _version_2(self) -> ProxyHeader | None:
        size = _FIXED + int.from_bytes(self._buffer[14:16], "big")
        if size > MAX_HEADER:
            raise ProxyError("the header is too long")
        if self._buffer[12] >> 4 != 2:
            raise ProxyError("the header is of an unknown version")
        if len(self._buffer) < size:
            return None
        header, self.rest = self._buffer[:size], self._buffer[size:]
        return _read_binary(header[12], header[13], header[_FIXED:])


def _read_line(line: bytes) -> ProxyHeader:
    try:
        words = line.decode("ascii").split(" ")
    except UnicodeDecodeError:
        raise ProxyError("the header is not ASCII") from None
    if words[1:2] == ["UNKNOWN"]:
        return ProxyHeader(None)
    if len(words) != 6 or words[1] not in ("TCP4", "TCP6"):
        raise ProxyError("the header is not of the form PROXY TCP4 source destination port port")
    version = 4 if words[1] == "TCP4" else 6
    source, _ = (_textual(address, version) for address in words[2:4])
    port, _ = (_port(word) for word in words[4:6])
    return ProxyHeader((source, port))


def _textual(text: str, version: int) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise ProxyError("the header holds what is no address") from None
    if address.version != version or getattr(address, "scope_id", None):
        raise ProxyError("the header holds an address of another family")
    return str(address)


def _port(word: str) -> int:
    if not _PORT.match(word) or int(word) > 65535:
        raise ProxyError("the header holds what is no port")
    return int(word)


def _read_binary(command: int, kind: int, body: bytes) -> ProxyHeader:
    if command & 15 not in (_LOCAL, _PROXY):
        raise ProxyError("the header has an unknown command")
    if command & 15 == _LOCAL:  # whatever it says of addresses is to be skipped
        return ProxyHeader(None)
    family, transport = kind >> 4, kind & 15
    size = _ADDRESS_SIZES.get(family)
    if size is None or transport > 2:
        raise ProxyError("the header has an unknown family or transport")
    if len(body) < size:
        raise ProxyError("the header is shorter than its addresses")
    _check_additions(body[size:])
    if family == 0 or transport == 0:
        return ProxyHeader(None)
    if transport != 1:
        raise ProxyError("the header is not about a stream")
    if family == 3:
        return ProxyHeader(("", 0))
    width = 4 if family == 1 else 16
    address = ipaddress.IPv4Address(body[:width]) if family == 1 else ipaddress.IPv6Address(body[:width])
    return ProxyHeader((str(address), int.from_bytes(body[2 * width : 2 * width + 2], "big")))


def _check_additions(data: bytes) -> None:
    """Type, length, value, until nothing is left. None of them is needed here."""
    while data:
        length = int.from_bytes(data[1:3], "big")
        if len(data) < 3 + length:
            raise ProxyError("the header's additions are cut short")
        data = data[3 + length :]
