"""Resolvers that answer without a network, and the suite that they and the real one pass.

`FixedResolver` answers from a mapping or, by `from_zone`, from an RFC 1035 zone file; names can be made to fail.

    resolver = FixedResolver({"example.org": {"TXT": [b"v=spf1 -all"]}}, failing=["slow.example.org MX"])

`check_resolver` is for whoever writes a resolver: serve ZONE with it, and await the suite.
"""

from relaygw.core.question import Answer, AnswerStatus, Data, Exchange, Question, Tlsa
from relaygw.dns.fixed import FixedResolver, ZoneError
from relaygw.interfaces import IResolver

__all__ = ["ZONE", "FixedResolver", "ZoneError", "check_resolver"]

LONG_TEXT = b"0123456789" * 300
"""More than a UDP answer holds."""


def _long_strings() -> str:
    pieces = [LONG_TEXT[start : start + 250].decode("ascii") for start in range(0, len(LONG_TEXT), 250)]
    return " ".join(f'"{piece}"' for piece in pieces)


ZONE = f"""\
$ORIGIN zone.test.
$TTL 300
@ SOA ns hostmaster 1 3600 600 86400 60
@ NS ns
@ MX 20 Mail.Zone.TEST.
@ MX 10 mx
@ TXT "v=spf1 " "mx -all"
ns A 127.0.0.1
mx A 192.0.2.1
mx A 192.0.2.2
mx AAAA 2001:DB8:0:0::1
_25._tcp.mx TLSA 3 1 0 00ff
silent MX 0 .
alias CNAME mx
lost CNAME nowhere
odd TXT "semi;colon" "\\255"
long TXT {_long_strings()}
*.wild A 192.0.2.7
below.wild TXT "itself"
pointer PTR HOST.Example.
a:b/c A 192.0.2.8
"""
"""The zone that `check_resolver` asks about."""

_FOUND = AnswerStatus.FOUND
_EXPECTED: tuple[tuple[str, str, AnswerStatus, frozenset[Data]], ...] = (
    ("zone.test", "TXT", _FOUND, frozenset({b"v=spf1 mx -all"})),
    ("ZONE.test", "TXT", _FOUND, frozenset({b"v=spf1 mx -all"})),
    ("zone.test", "MX", _FOUND, frozenset({Exchange(20, "mail.zone.test"), Exchange(10, "mx.zone.test")})),
    ("zone.test", "NS", _FOUND, frozenset({"ns.zone.test"})),
    ("silent.zone.test", "MX", _FOUND, frozenset({Exchange(0, "")})),
    ("mx.zone.test", "A", _FOUND, frozenset({"192.0.2.1", "192.0.2.2"})),
    ("mx.zone.test", "AAAA", _FOUND, frozenset({"2001:db8::1"})),
    ("_25._tcp.mx.zone.test", "TLSA", _FOUND, frozenset({Tlsa(3, 1, 0, b"\x00\xff")})),
    ("alias.zone.test", "A", _FOUND, frozenset({"192.0.2.1", "192.0.2.2"})),
    ("alias.zone.test", "CNAME", _FOUND, frozenset({"mx.zone.test"})),
    ("alias.zone.test", "TXT", AnswerStatus.NO_DATA, frozenset()),
    ("lost.zone.test", "A", AnswerStatus.NO_NAME, frozenset()),
    ("odd.zone.test", "TXT", _FOUND, frozenset({b"semi;colon\xff"})),
    ("long.zone.test", "TXT", _FOUND, frozenset({LONG_TEXT})),
    ("pointer.zone.test", "PTR", _FOUND, frozenset({"host.example"})),
    ("a:b/c.zone.test", "A", _FOUND, frozenset({"192.0.2.8"})),
    ("any.wild.zone.test", "A", _FOUND, frozenset({"192.0.2.7"})),
    ("far.off.wild.zone.test", "A", _FOUND, frozenset({"192.0.2.7"})),
    ("any.wild.zone.test", "TXT", AnswerStatus.NO_DATA, frozenset()),
    ("below.wild.zone.test", "A", AnswerStatus.NO_DATA, frozenset()),
    ("mx.zone.test", "TXT", AnswerStatus.NO_DATA, frozenset()),
    ("_tcp.mx.zone.test", "TXT", AnswerStatus.NO_DATA, frozenset()),
    ("nowhere.zone.test", "A", AnswerStatus.NO_NAME, frozenset()),
    (f"{'x' * 63}.zone.test", "A", AnswerStatus.NO_NAME, frozenset()),
    (f"{'x' * 64}.zone.test", "A", AnswerStatus.NO_NAME, frozenset()),
    ("two..dots.zone.test", "A", AnswerStatus.NO_NAME, frozenset()),
    (".".join(["x" * 49] * 6) + ".zone.test", "A", AnswerStatus.NO_NAME, frozenset()),
)


async def check_resolver(resolver: IResolver, failing: str = "") -> None:
    """Ask for all that ZONE has, and for `failing`, which must fail; AssertionError where an answer is wrong."""
    for name, kind, status, records in _EXPECTED:
        answer = await resolver.ask(Question(name, kind))
        _expect(name, kind, answer, status, records)
    if failing:
        answer = await resolver.ask(Question(failing, "A"))
        _expect(failing, "A", answer, AnswerStatus.FAILED, frozenset())
        assert answer.reason, f"{failing} A failed without a reason"


def _expect(name: str, kind: str, answer: Answer, status: AnswerStatus, records: frozenset[Data]) -> None:
    assert answer.status is status, f"{name} {kind}: {answer}, expected {status}"
    assert len(answer.records) == len(records), (
        f"{name} {kind}: {answer.records}, expected {sorted(map(repr, records))}"
    )
    assert frozenset(answer.records) == records, f"{name} {kind}: {answer.records}, expected {records}"
    if status is AnswerStatus.FOUND:
        assert answer.ttl > 0, f"{name} {kind}: a found answer has a TTL"
