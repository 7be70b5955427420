"""DNS lists of addresses and domains (RFC 5782): what is asked, what an answer means, and what all lists come to.

A list counts only while it behaves as one: its answers are addresses in 127.0.0.0/8 other than 127.0.0.1, it does not
answer with an error code (127.255.255.0/24, such as "too many questions"), and it does not list what no list may (RFC
5782 5). Whatever else it does, it is BROKEN, lists nobody, and is left alone for a while (`Health`).
"""

import enum
import ipaddress
import re
from collections.abc import Callable, Collection, Iterable, Mapping

import attrs

from relaygw.core.client import IPAddress
from relaygw.core.question import Answer, AnswerStatus, Inquiry, Question

_CODES = ipaddress.IPv4Network("127.0.0.0/8")
_ERRORS = ipaddress.IPv4Network("127.255.255.0/24")
_NEVER = ipaddress.IPv4Address("127.0.0.1")
_OCTET = re.compile(r"(?P<any>\*)|&(?P<bits>\d{1,3})|(?P<low>\d{1,3})(?:-(?P<high>\d{1,3}))?\Z")

NEVER_LISTED_ADDRESS: Mapping[int, IPAddress] = {
    4: ipaddress.ip_address("127.0.0.1"),
    6: ipaddress.ip_address("::ffff:127.0.0.1"),
}
"""What no list of addresses may list (RFC 5782 5)."""
NEVER_LISTED_DOMAIN = "invalid"
"""What no list of domains may list (RFC 5782 5)."""


Subject = IPAddress | str
"""An address, or a domain in lower case A-labels."""


class CodeError(ValueError):
    """The text is not a pattern for reply codes; the message says what is."""


@attrs.frozen
class CodePattern:
    """A pattern for a list's answers: each octet a number, a range ("2-11"), "*", or "&6" (any of these bits)."""

    text: str
    _octets: tuple[Callable[[int], bool], ...] = attrs.field(repr=False, eq=False)

    def matches(self, code: ipaddress.IPv4Address) -> bool:
        return all(fits(octet) for fits, octet in zip(self._octets, code.packed, strict=True))


def parse_code(text: str) -> CodePattern:
    """Raises CodeError."""
    parts = text.split(".")
    if len(parts) != 4 or parts[0] != "127":
        raise CodeError(f'{text!r} is not a pattern such as "127.0.0.2", "127.0.0.2-11", "127.0.*.3" or "127.0.0.&6"')
    return CodePattern(text, tuple(_octet(part, text) for part in parts))


def _octet(part: str, text: str) -> Callable[[int], bool]:
    found = _OCTET.match(part)
    if found is None or found.end() != len(part):
        raise CodeError(f"{part!r} in {text!r} is not a number, a range, * or & with a number")
    if found["any"]:
        return lambda octet: True
    low = int(found["bits"] or found["low"])
    high = int(found["high"] or low)
    if not low <= high <= 255:
        raise CodeError(f"{part!r} in {text!r} is not from 0 to 255 in order")
    return (lambda octet: bool(octet & low)) if found["bits"] else (lambda octet: low <= octet <= high)


@attrs.frozen(kw_only=True)
class Rule:
    """What a list's answer counts: `weight`, less than 0 for a list of the good, where one of `codes` matches; no
    codes: any answer."""

    zone: str
    weight: float
    codes: tuple[CodePattern, ...] = ()

    def counts(self, codes: Iterable[ipaddress.IPv4Address]) -> ipaddress.IPv4Address | None:
        """The first of the list's answers that counts."""
        return next((c for c in codes if not self.codes or any(p.matches(c) for p in self.codes)), None)


class State(enum.Enum):
    LISTED = "listed"
    CLEAR = "clear"
    SILENT = "silent"
    """No answer, or a failure: it may be the network, once."""
    BROKEN = "broken"
    """An answer no list gives."""


@attrs.frozen(kw_only=True)
class Listing:
    """One list's word about one subject (an address or a domain); `codes` where it is LISTED, `reason` where the list
    cannot be believed."""

    zone: str
    subject: Subject
    state: State
    codes: tuple[ipaddress.IPv4Address, ...] = ()
    reason: str = ""


def label(subject: Subject) -> str:
    """How lists are asked for it: octets or nibbles backwards (RFC 5782 2.1, 2.4), a domain as it is (3)."""
    if isinstance(subject, str):
        return subject
    return subject.reverse_pointer.removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa")


def ask_list(zone: str, subject: Subject) -> Inquiry[Listing]:
    """What one list says of one subject."""
    answer = yield Question(f"{label(subject)}.{zone}", "A")
    listing = _listing(zone, subject, answer)
    if listing.state is not State.LISTED:
        return listing
    # Asked only where it matters, and then mostly answered by the cache.
    never = NEVER_LISTED_DOMAIN if isinstance(subject, str) else NEVER_LISTED_ADDRESS[subject.version]
    answer = yield Question(f"{label(never)}.{zone}", "A")
    if answer.status is AnswerStatus.FOUND:
        return attrs.evolve(listing, state=State.BROKEN, codes=(), reason="it lists everything")
    if answer.status is AnswerStatus.FAILED:
        return attrs.evolve(listing, state=State.SILENT, codes=(), reason=answer.reason)
    return listing


def _listing(zone: str, subject: Subject, answer: Answer) -> Listing:
    if answer.status is AnswerStatus.FAILED:
        return Listing(zone=zone, subject=subject, state=State.SILENT, reason=answer.reason)
    codes = tuple(ipaddress.IPv4Address(record) for record in answer.records if isinstance(record, str))
    if not codes:
        return Listing(zone=zone, subject=subject, state=State.CLEAR)
    nonsense = next((code for code in codes if code not in _CODES or code in _ERRORS or code == _NEVER), None)
    if nonsense is not None:
        return Listing(zone=zone, subject=subject, state=State.BROKEN, reason=f"it answers {nonsense}")
    return Listing(zone=zone, subject=subject, state=State.LISTED, codes=codes)


@attrs.frozen(kw_only=True)
class Hit:
    """One rule that counted."""

    zone: str
    subject: Subject
    code: ipaddress.IPv4Address
    weight: float

    def __str__(self) -> str:
        return f"{self.zone}: {self.code} ({self.weight:+g}) for {self.subject}"


@attrs.frozen(kw_only=True)
class Reputation:
    """What all lists together say: the sum of the weights that counted. `unheard`: what was wrong with which list.
    The result that the filter `dnsbl` leaves for others."""

    score: float = 0.0
    hits: tuple[Hit, ...] = ()
    unheard: tuple[str, ...] = ()

    @property
    def welcome(self) -> bool:
        """Whether lists of the good outweigh all others."""
        return self.score < 0

    @property
    def worst(self) -> Hit | None:
        """The hit that counts most against the subject."""
        return max((hit for hit in self.hits if hit.weight > 0), key=lambda hit: hit.weight, default=None)


def weigh(asked: Iterable[tuple[Rule, Subject]], listings: Collection[Listing]) -> Reputation:
    """What the rules, each with the subject it is about, make of what their lists said."""
    found = {(listing.zone, listing.subject): listing for listing in listings}
    hits = tuple(
        Hit(zone=rule.zone, subject=subject, code=code, weight=rule.weight)
        for rule, subject in asked
        if (listing := found.get((rule.zone, subject))) is not None and (code := rule.counts(listing.codes)) is not None
    )
    unheard = tuple(f"{listing.zone}: {listing.reason}" for listing in listings if listing.reason)
    return Reputation(score=sum(hit.weight for hit in hits), hits=hits, unheard=unheard)


@attrs.frozen
class _Ill:
    silences: int = 0
    until: float = 0.0


class Health:
    """Which lists are left alone for now: for `rest` seconds after nonsense, or after `patience` silences in a row."""

    def __init__(self, rest: float, patience: int) -> None:
        self._rest = rest
        self._patience = patience
        self._ill: dict[str, _Ill] = {}

    def well(self, zone: str, now: float) -> bool:
        """Whether the list is worth a question."""
        ill = self._ill.get(zone)
        return ill is None or ill.until <= now

    def heard(self, listing: Listing, now: float) -> bool:
        """Take note of how a list answered; True where it is left alone from now on."""
        before = self._ill.get(listing.zone, _Ill())
        if listing.state in (State.LISTED, State.CLEAR):
            self._ill.pop(listing.zone, None)
            return False
        silences = before.silences + 1 if listing.state is State.SILENT else self._patience
        ending = silences >= self._patience
        self._ill[listing.zone] = _Ill(silences, now + self._rest if ending else before.until)
        return ending and before.until <= now
