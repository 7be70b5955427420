"""Any octets are a DNS message or one of dnspython's errors, and what is read of it is data."""

import contextlib
import struct

import dns.exception
import dns.message
import dns.rdataclass
import dns.rdatatype

from relaygw.core.question import Exchange, Tlsa
from relaygw.dns.effort import TooMuchWork, check_effort
from relaygw.dns.records import TYPES, from_rdata


def response(kind: int, *data: bytes) -> bytes:
    head = struct.pack("!6H", 1, 0x8180, 1, len(data), 0, 0) + b"\1a\4test\0" + struct.pack("!HH", kind, 1)
    return head + b"".join(b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 60, len(each)) + each for each in data)


SEEDS = (
    response(15, b"\0\1\2mx\xc0\x0c", b"\0\2\0"),
    response(16, b"\6v=spf1\4 -al\1l", b"\0"),
    response(12, b"\1b\xc0\x0c"),
    response(5, b"\1b\xc0\x0c"),
    response(52, b"\3\1\1" + bytes(32)),
    response(28, bytes(16)),
)


def one_input(data: bytes) -> None:
    try:
        check_effort(data)
        message = dns.message.from_wire(data)
    except (TooMuchWork, dns.exception.DNSException, ValueError):
        return
    if isinstance(message, dns.message.QueryMessage):
        with contextlib.suppress(dns.exception.DNSException):
            message.resolve_chaining()
    for rrset in message.answer:
        for record in rrset:
            if record.rdclass == dns.rdataclass.IN and dns.rdatatype.to_text(record.rdtype) in TYPES:
                assert isinstance(from_rdata(record), bytes | str | Exchange | Tlsa)
