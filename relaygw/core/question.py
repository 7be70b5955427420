"""DNS questions as values, so that SPF, DMARC and MX logic can be sans-IO generators.

An inquiry yields a Question and is sent its Answer; it returns its result. The same code runs under
the resolver (`relaygw.dns.consult`), under a dict in tests and inside `relaygw explain`.
An answer is always a value: a server that fails or does not answer is AnswerStatus.FAILED, never an exception.
"""

from collections.abc import Callable, Generator
from typing import TypeVar

import attrs

from relaygw.core.words import Word


class AnswerStatus(Word):
    FOUND = "found"
    NO_DATA = "no data"  # the name exists, without this type (RFC 2308 2.2)
    NO_NAME = "no name"  # NXDOMAIN (RFC 2308 2.1)
    FAILED = "failed"  # SERVFAIL, REFUSED, timeout, malformed: ask again later


@attrs.frozen(order=True)
class Exchange:
    """One MX record: `host` in lower case without the final dot; "" is the null MX (RFC 7505)."""

    preference: int
    host: str


@attrs.frozen
class Tlsa:
    """One TLSA record (RFC 6698 2.1)."""

    usage: int
    selector: int
    matching: int
    data: bytes


Data = bytes | str | Exchange | Tlsa
"""TXT: bytes, its strings joined. A, AAAA, PTR, CNAME, NS: str, lower case, no final dot. MX: Exchange. TLSA: Tlsa."""


@attrs.frozen
class Question:
    """`name` without the final dot, in A-labels; `type` such as "TXT", "MX", "A".

    `soon`: what the inquiry asks next whatever the answer is, so that it may be asked at the same time.
    """

    name: str
    type: str
    soon: "tuple[Question, ...]" = attrs.field(default=(), eq=False, repr=False)


@attrs.frozen(kw_only=True)
class Answer:
    """`ttl` in seconds; `authentic` is the AD bit of a validating resolver; `reason` says why it failed.

    `canonical` is the name at which the records stand where aliases led there, else "".
    """

    status: AnswerStatus
    records: tuple[Data, ...] = ()
    ttl: int = 0
    authentic: bool = False
    reason: str = ""
    canonical: str = ""


def both_families(host: str, *, ipv4: bool, ipv6: bool) -> tuple[Question, ...]:
    """What is asked for the addresses of a host: IPv6 first, IPv4 at the same time (RFC 8305 3)."""
    four = Question(host, "A")
    if not ipv6:
        return (four,) if ipv4 else ()
    return (Question(host, "AAAA", (four,)), four) if ipv4 else (Question(host, "AAAA"),)


T = TypeVar("T")
Inquiry = Generator[Question, Answer, T]
"""A computation that asks DNS questions one at a time and returns a T."""


def settle(inquiry: Inquiry[T], answer: Callable[[Question], Answer]) -> T:
    """The inquiry's result where every answer is at hand: under a dict, or while explaining."""
    try:
        question = next(inquiry)
        while True:
            question = inquiry.send(answer(question))
    except StopIteration as stop:
        result: T = stop.value
        return result
