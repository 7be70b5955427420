"""check_host() (RFC 7208 4) as an inquiry: yields DNS questions, is sent the answers, returns a Finding.

Bounded by the RFC's own limits: 10 terms that ask the DNS, 2 of them in vain, 10 MX and 10 PTR names (4.6.4), and by
the amount of what the DNS says (11.1): once cached it costs no questions, but still our time. How long to wait is
bounded by whoever runs the inquiry. Every failure is a Finding; the one exception in here never leaves the module.
"""

import ipaddress
from collections.abc import Generator, Iterable
from typing import NoReturn

import attrs

from relaygw.core.address import Address
from relaygw.core.question import Answer, AnswerStatus, Data, Exchange, Inquiry, Question
from relaygw.core.spf.macro import NAME_END, MacroString, SpfSyntaxError, fit_name, is_name, parse_macro_string
from relaygw.core.spf.record import MAX_RECORD, Directive, Record, parse_record, select
from relaygw.core.spf.result import Finding, Identity, Result

MAX_LOOKUPS = 10
MAX_VOID_LOOKUPS = 2
MAX_EXCHANGES = 10
MAX_POINTERS = 10
MAX_OCTETS = 32 * 1024
"""Octets of all records of one check together; the policies of large senders have a tenth of it."""
MAX_ADDRESSES = 2000
"""Addresses that one check compares with the client's; a hundred hosts may have hundreds each."""
MAX_EXPLANATION = 400
"""Characters of a domain's explanation we pass on; one reply line holds little more."""

_NOBODY = "postmaster"
"""The local part where the sender has none (RFC 7208 4.3)."""
_PERSONAL = frozenset("slht")
"""Macro letters whose values differ from message to message, though client and domain are the same."""

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
_NO_SUCH_NAME = Answer(status=AnswerStatus.NO_NAME, reason="the DNS cannot have this name")


@attrs.frozen(kw_only=True)
class Subject:
    """What is asked about, and what macros may tell. `now` in POSIX seconds; `receiver` is our host name."""

    client: IPAddress
    local: str
    domain: str
    hello: str
    receiver: str
    now: float


def check_hello(*, client: IPAddress, hello: str, receiver: str, now: float) -> Inquiry[Finding]:
    """Whether this client may use its HELO name (RFC 7208 2.3)."""
    return check_host(
        client=client, identity=Identity.HELO, domain=hello, local="", hello=hello, receiver=receiver, now=now
    )


def check_mail_from(
    *, client: IPAddress, sender: Address | None, hello: str, receiver: str, now: float
) -> Inquiry[Finding]:
    """Whether this client may send for the reverse-path; the null one stands for postmaster at HELO (RFC 7208 2.4)."""
    return check_host(
        client=client,
        identity=Identity.MAIL_FROM,
        domain=sender.domain if sender is not None else hello,
        local=sender.local if sender is not None else "",
        hello=hello,
        receiver=receiver,
        now=now,
    )


def sender_name(sender: Address | None, hello: str) -> str:
    """The sender of a check of MAIL FROM, as a Finding names it (RFC 7208 2.4, 4.3)."""
    return f"{sender.local or _NOBODY}@{sender.domain}" if sender is not None else f"{_NOBODY}@{hello}"


def check_host(
    *, client: IPAddress, identity: Identity, domain: str, local: str, hello: str, receiver: str, now: float
) -> Generator[Question, Answer, Finding]:
    """check_host() of RFC 7208 4 for any identity; an empty `local` counts as "postmaster" (4.3)."""
    mapped = client.ipv4_mapped if isinstance(client, ipaddress.IPv6Address) else None
    subject = Subject(
        client=mapped or client,  # RFC 7208 5: an IPv4-mapped address is an IPv4 address
        local=local or _NOBODY,
        domain=domain,
        hello=hello,
        receiver=receiver,
        now=now,
    )
    evaluation = _Evaluation(subject)
    try:
        match = yield from evaluation.host(domain.removesuffix("."))
    except _Halt as halt:
        match = _Match(halt.result, reason=halt.reason)
    explanation = ""
    if match.result is Result.FAIL and match.explanation is not None:
        explanation = yield from evaluation.explain(match.explanation, match.domain)
    return Finding(
        result=match.result,
        identity=identity,
        client=str(subject.client),
        domain=domain,
        sender=f"{subject.local}@{domain}",
        hello=hello,
        mechanism=match.mechanism,
        explanation=explanation,
        reason=match.reason,
        lookups=evaluation.lookups,
        personal=evaluation.personal,
    )


class _Halt(Exception):
    """temperror or permerror: ends the whole check, from however deep an include (RFC 7208 5.2)."""

    def __init__(self, result: Result, reason: str) -> None:
        super().__init__(reason)
        self.result = result
        self.reason = reason


def _permerror(reason: str) -> NoReturn:
    raise _Halt(Result.PERMERROR, reason)


@attrs.frozen
class _Match:
    """What evaluating one record came to. `explanation` is its exp=, to be expanded for `domain`."""

    result: Result
    mechanism: str = ""
    domain: str = ""
    explanation: MacroString | None = None
    reason: str = ""


class _Evaluation:
    """One check: its subject, its counters, and the names of the client already found."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._client_bits = int(subject.client)
        self.lookups = 0
        self.personal = False
        self._voids = 0
        self._octets = 0
        self._compared = 0
        self._pointers: tuple[str, ...] | None = None
        self._validated: dict[str, bool] = {}
        self._evaluate = {
            "a": self._a,
            "mx": self._mx,
            "ptr": self._ptr,
            "include": self._include,
            "exists": self._exists,
        }

    def host(self, domain: str) -> Inquiry[_Match]:
        """Evaluate the record of `domain`: NONE where it has none or cannot have one (RFC 7208 4.3 to 4.7)."""
        if not is_name(domain) or "." not in domain or domain.endswith("]"):
            return _Match(Result.NONE, reason=f"{domain[:100]!r} is not a fully qualified domain name")
        answer = yield Question(domain, "TXT")
        if answer.status is AnswerStatus.FAILED:
            raise _Halt(Result.TEMPERROR, f"looking up TXT of {domain}: {answer.reason}")
        texts = select(answer.records)
        if not texts:
            return _Match(Result.NONE, reason=f"{domain} has no SPF record")
        if len(texts) > 1:
            _permerror(f"{domain} has {len(texts)} SPF records")
        self._octets += len(texts[0])
        if self._octets > MAX_OCTETS:
            _permerror(f"all records together have more than {MAX_OCTETS} octets")
        return (yield from self._record(self._parse(texts[0], domain), domain))

    def _parse(self, text: bytes, domain: str) -> Record:
        try:
            return parse_record(text)
        except SpfSyntaxError as error:
            _permerror(f"the SPF record of {domain}: {error}")

    def _record(self, record: Record, domain: str) -> Inquiry[_Match]:
        for directive in record.directives:
            if (yield from self._matches(directive, domain)):
                return _Match(directive.qualifier, directive.text, domain, record.explanation)
        if record.redirect is None:
            return _Match(Result.NEUTRAL, "default", domain)
        self._count()
        target = yield from self._expand(record.redirect, domain)
        match = yield from self.host(target)
        if match.result is Result.NONE:  # RFC 7208 6.1
            _permerror(f"redirect of {domain}: {match.reason}")
        return match

    def _matches(self, directive: Directive, domain: str) -> Inquiry[bool]:
        if directive.name == "all":
            return True
        if directive.network is not None:
            return self._within(directive.network, directive)
        self._count()
        target = domain
        if directive.target is not None:
            target = yield from self._expand(directive.target, domain)
            if not target:
                return False
        return (yield from self._evaluate[directive.name](directive, target))

    def _a(self, directive: Directive, target: str) -> Inquiry[bool]:
        addresses = yield from self._addresses(target, counts=True)
        return any(self._within(address, directive) for address in addresses)

    def _mx(self, directive: Directive, target: str) -> Inquiry[bool]:
        answer = yield from self._ask(target, "MX", counts=True)
        exchanges = [record.host for record in answer.records if isinstance(record, Exchange)]
        if len(exchanges) > MAX_EXCHANGES:  # RFC 7208 4.6.4
            _permerror(f"{target} has more than {MAX_EXCHANGES} MX records")
        for host in filter(None, exchanges):
            # A term counts as one void lookup at most; that of mx was its MX question.
            addresses = yield from self._addresses(host, counts=False)
            if any(self._within(address, directive) for address in addresses):
                return True
        return False

    def _ptr(self, directive: Directive, target: str) -> Inquiry[bool]:
        pointers = yield from self._client_names(counts=True)
        for name in pointers:
            if _is_below(name, target) and (yield from self._validates(name)):
                return True
        return False

    def _include(self, directive: Directive, target: str) -> Inquiry[bool]:
        match = yield from self.host(target)
        if match.result is Result.NONE:  # RFC 7208 5.2
            _permerror(f"{directive.text}: {match.reason}")
        return match.result is Result.PASS

    def _exists(self, directive: Directive, target: str) -> Inquiry[bool]:
        answer = yield from self._ask(target, "A", counts=True)  # RFC 7208 5.7: A, whatever the client's family
        return answer.status is AnswerStatus.FOUND

    def _count(self) -> None:
        self.lookups += 1
        if self.lookups > MAX_LOOKUPS:  # RFC 7208 4.6.4
            _permerror(f"more than {MAX_LOOKUPS} terms ask the DNS")

    def _ask(self, name: str, kind: str, *, counts: bool) -> Inquiry[Answer]:
        """One question on behalf of a term: a failure ends the check, an answer in vain counts (RFC 7208 4.6.4, 5)."""
        if not is_name(name):
            return _NO_SUCH_NAME
        answer = yield Question(name, kind)
        if answer.status is AnswerStatus.FAILED:
            raise _Halt(Result.TEMPERROR, f"looking up {kind} of {name}: {answer.reason}")
        if counts and answer.status is not AnswerStatus.FOUND:
            self._void()
        return answer

    def _void(self) -> None:
        self._voids += 1
        if self._voids > MAX_VOID_LOOKUPS:
            _permerror(f"more than {MAX_VOID_LOOKUPS} terms ask for names that do not exist")

    def _addresses(self, name: str, *, counts: bool) -> Inquiry[list[IPAddress]]:
        """The addresses of a name in the client's own family (RFC 7208 5)."""
        answer = yield from self._ask(name, _address_type(self._subject.client), counts=counts)
        self._compared += len(answer.records)
        if self._compared > MAX_ADDRESSES:
            _permerror(f"there are more than {MAX_ADDRESSES} addresses to compare")
        return _as_addresses(answer.records)

    def _within(self, address: IPAddress, directive: Directive) -> bool:
        client = self._subject.client
        if address.version != client.version:
            return False
        prefix = directive.prefix4 if client.version == 4 else directive.prefix6
        shift = client.max_prefixlen - prefix
        return int(address) >> shift == self._client_bits >> shift

    def _client_names(self, *, counts: bool) -> Inquiry[tuple[str, ...]]:
        """At most ten names of the client's PTR records; a DNS error gives none (RFC 7208 5.5)."""
        if self._pointers is None:
            answer = yield Question(self._subject.client.reverse_pointer, "PTR")
            names = (record for record in answer.records if isinstance(record, str))
            self._pointers = tuple(names)[:MAX_POINTERS]
            if counts and answer.status in (AnswerStatus.NO_DATA, AnswerStatus.NO_NAME):
                self._void()
        return self._pointers

    def _validates(self, name: str) -> Inquiry[bool]:
        """Whether a name of the client resolves back to it; an error skips the name (RFC 7208 5.5).

        Its names are the client's to choose: no number of addresses may spoil the domain's policy.
        """
        if name not in self._validated:
            found: list[IPAddress] = []
            if is_name(name):
                answer = yield Question(name, _address_type(self._subject.client))
                found = _as_addresses(answer.records[: MAX_ADDRESSES // MAX_POINTERS])
            self._validated[name] = self._subject.client in found
        return self._validated[name]

    def _client_name(self, domain: str) -> Inquiry[str]:
        """The macro p: a validated name, rather the domain itself or one below it (RFC 7208 7.3)."""
        pointers = yield from self._client_names(counts=False)
        for name in sorted(pointers, key=lambda name: (name.lower() != domain.lower(), not _is_below(name, domain))):
            if (yield from self._validates(name)):
                return name
        return "unknown"

    def _expand(self, spec: MacroString, domain: str) -> Inquiry[str]:
        """The name a domain-spec stands for, "" where it can stand for none."""
        letters = spec.letters
        self.personal = self.personal or not letters.isdisjoint(_PERSONAL)
        if not self._subject.local.isascii() and letters & {"s", "l"}:
            return ""  # RFC 8616 4: such a term does not match anything
        return fit_name(spec.expand_end((yield from self._values(letters, domain)), NAME_END))

    def _values(self, letters: frozenset[str], domain: str) -> Inquiry[dict[str, str]]:
        """What the macro letters stand for (RFC 7208 7.2)."""
        if not letters:
            return {}
        subject = self._subject
        return {
            "s": f"{subject.local}@{subject.domain}",
            "l": subject.local,
            "o": subject.domain,
            "d": domain,
            "i": _dotted(subject.client),
            "p": (yield from self._client_name(domain)) if "p" in letters else "",
            "v": "in-addr" if subject.client.version == 4 else "ip6",
            "h": subject.hello,
            "c": str(subject.client),
            "r": subject.receiver or "unknown",
            "t": str(int(subject.now)),
        }

    def explain(self, spec: MacroString, domain: str) -> Inquiry[str]:
        """The domain's own words for a fail; whatever is wrong with them gives "" (RFC 7208 6.2)."""
        name = yield from self._expand(spec, domain)
        if not is_name(name):
            return ""
        answer = yield Question(name, "TXT")
        texts = [record for record in answer.records if isinstance(record, bytes)]
        if len(texts) != 1 or not texts[0].isascii() or len(texts[0]) > MAX_RECORD:
            return ""
        try:
            parsed = parse_macro_string(texts[0].decode("ascii"), explanation=True)
        except SpfSyntaxError:
            return ""
        self.personal = self.personal or not parsed.letters.isdisjoint(_PERSONAL)
        return _printable(parsed.expand((yield from self._values(parsed.letters, domain)), MAX_EXPLANATION))


def _address_type(client: IPAddress) -> str:
    return "A" if client.version == 4 else "AAAA"


def _as_addresses(records: Iterable[Data]) -> list[IPAddress]:
    return [ipaddress.ip_address(record) for record in records if isinstance(record, str)]


def _is_below(name: str, domain: str) -> bool:
    """Whether a name is the domain itself or one of its subdomains."""
    return f".{name.lower()}".endswith(f".{domain.lower()}")


def _dotted(client: IPAddress) -> str:
    """The macro i: a dotted quad, or all nibbles of an IPv6 address with dots between (RFC 7208 7.3)."""
    if isinstance(client, ipaddress.IPv4Address):
        return str(client)
    return ".".join(client.exploded.replace(":", "").upper())


def _printable(text: str) -> str:
    """US-ASCII that cannot leave its line, of bounded length; it goes into an SMTP reply."""
    return "".join(character if " " <= character <= "~" else "?" for character in text[:MAX_EXPLANATION])
