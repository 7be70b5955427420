"""An answer that takes too long to read is not read: what counts, at the limit and one step beyond it."""

import struct

import dns.message
import dns.rrset
import pytest

from relaygw.dns.effort import MAX_STEPS, RECORD, TooMuchWork, check_effort

LONG = b"".join(b"\x01" + bytes([97 + number % 26]) for number in range(126)) + b"\0"
"""A name of 126 labels, the most there can be."""


def message(name: bytes, kind: int, *data: bytes, owner: bytes = b"\xc0\x0c", declared: int | None = None) -> bytes:
    """A response with these records; `owner` points to the name of the question."""
    head = struct.pack("!6H", 1, 0x8180, 1, len(data) if declared is None else declared, 0, 0)
    records = (owner + struct.pack("!HHIH", kind, 1, 60, len(each)) + each for each in data)
    return head + name + struct.pack("!HH", kind, 1) + b"".join(records)


def steps_of(labels: int) -> int:
    """Of an MX record whose owner and exchange have so many labels, compressed."""
    return RECORD + 2 * (labels + 1) + labels * labels // 6 + 1


@pytest.mark.parametrize(("name", "labels"), [(b"\x01a\x04test\0", 2), (LONG, 126)])
def test_so_many_records_and_not_one_more(name: bytes, labels: int) -> None:
    most = (MAX_STEPS - RECORD - labels) // steps_of(labels)
    exchanges = [struct.pack("!H", number) + b"\xc0\x0c" for number in range(most + 1)]
    check_effort(message(name, 15, *exchanges[:most]))
    with pytest.raises(TooMuchWork):
        check_effort(message(name, 15, *exchanges))


def test_what_honest_domains_publish_is_far_below() -> None:
    query = dns.message.make_query("example.test", "MX")
    response = dns.message.make_response(query)
    exchanges = [f"10 mx{number}.mail.example.test." for number in range(50)]
    response.answer.append(dns.rrset.from_text("example.test.", 60, "IN", "MX", *exchanges))
    for number in range(50):
        addresses = [f"192.0.2.{last}" for last in range(3)]
        response.additional.append(dns.rrset.from_text(f"mx{number}.mail.example.test.", 60, "IN", "A", *addresses))
    check_effort(response.to_wire(max_size=65535))
    texts = [f'"{"x" * 255}" "{"y" * 255}" "{number}"' for number in range(100)]
    many = dns.message.make_response(dns.message.make_query("example.test", "TXT"))
    many.answer.append(dns.rrset.from_text("example.test.", 60, "IN", "TXT", *texts))
    check_effort(many.to_wire(max_size=65535))


@pytest.mark.parametrize(
    "wire",
    [
        message(b"\x01a\0", 16, b"\0" * 10_000),  # strings of nothing
        message(b"\x01a\0", 55, b"\xc0\x0c" * 400),  # a type that may hold names
        message(b"\x01a\0", 41, b"\0" * 20_000),  # options
        message(LONG, 6, b"\xc0\x0c\xc0\x0c" + bytes(20), *[b"\xc0\x0c\xc0\x0c" + bytes(20)] * 5),
        struct.pack("!6H", 1, 0x8180, 65535, 0, 0, 0) + b"\0\0\1\0\1" * 13_000,  # questions
    ],
    ids=["strings", "unknown", "options", "soa", "questions"],
)
def test_work_of_each_kind_counts(wire: bytes) -> None:
    with pytest.raises(TooMuchWork):
        check_effort(wire)


def test_pointers_to_pointers_count() -> None:
    # Each leads to the one before it, and each record's owner to the last of them.
    first = 12 + 3 + 4 + 3 + 10
    chain = b"\xc0\x0c" + b"".join(struct.pack("!H", 0xC000 | first + 2 * number) for number in range(500))
    last = struct.pack("!H", 0xC000 | first + 2 * 500)
    head = message(b"\x01a\0", 1, chain, owner=b"\x01b\0", declared=200)
    assert head.index(chain) == first
    record = last + struct.pack("!HHIH", 1, 1, 60, 4) + bytes(4)
    check_effort(head)
    with pytest.raises(TooMuchWork):
        check_effort(head + record * 199)


@pytest.mark.parametrize("cut", range(40))
def test_what_is_cut_short_or_loops_is_for_others_to_refuse(cut: int) -> None:
    check_effort(message(b"\x01a\0", 15, b"\0\1\xc0\x0c")[:cut])
    check_effort(message(b"\xc0\x0c", 15, b"\0\1\xc0\x0c"))
    check_effort(message(b"\x01a\xc0\x0c", 15, b"\0\1\xc0\x0c"))
