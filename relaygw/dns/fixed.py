"""Answers from a mapping, a YAML file of one, or an RFC 1035 zone file: for tests, rehearsals, and `dns.zone`.

Behaves as a resolver in front of authoritative servers does: CNAMEs and DNAMEs (RFC 6672) are followed, a name with
something below it exists, "*" stands for the names that do not (RFC 4592). A comment line in a zone file makes names
fail:

    ; fails: slow.example.com            every type that has no record there
    ; fails: slow.example.com TXT MX     only these
"""

import ipaddress
import re
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dns.exception
import dns.name
import dns.rdataclass
import dns.rdatatype
import dns.tokenizer
import dns.zonefile
import yaml
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from relaygw.core.question import Answer, AnswerStatus, Data, Exchange, Question, Tlsa
from relaygw.dns.mapping import MappingError, parse_mapping, read_yaml, says_failing
from relaygw.dns.records import TYPES, from_name, from_rdata, to_name
from relaygw.interfaces import IResolver

_MAX_ALIASES = 8
_SHOWN = 60
_FAILS = re.compile(r"^;\s*fails:\s*(\S+)((?:[ \t]+[A-Za-z]+)*)\s*$", re.MULTILINE)
_SHAPES: Mapping[str, type] = {"TXT": bytes, "MX": Exchange, "TLSA": Tlsa}


class ZoneError(ValueError):
    """The zone file cannot be used; the message says where and why."""


@implementer(IResolver)
class FixedResolver:
    """`records` maps name → type → data, as a Question and an Answer have them; "*" as the first label is a wildcard.

    `failing` holds "name" or "name TYPE": these fail, where no record is given for them. `authentic` is the AD bit of
    all answers. `asked` remembers the latest questions.
    """

    def __init__(
        self,
        records: Mapping[str, Mapping[str, Sequence[Data]]],
        failing: Iterable[str] = (),
        *,
        ttl: int = 300,
        authentic: bool = False,
    ) -> None:
        self._records = {
            _key(name): {kind: tuple(_checked(kind, data) for data in given) for kind, given in node.items()}
            for name, node in records.items()
        }
        self._failing = {_fail_key(text) for text in failing}
        self._names = {ancestor for name in self._records for ancestor in _ancestors(name)}
        self._subtrees = {name: str(node["DNAME"][0]) for name, node in self._records.items() if node.get("DNAME")}
        self._ttl = ttl
        self._authentic = authentic
        self.asked: deque[Question] = deque(maxlen=1000)

    @classmethod
    def from_zone(cls, text: str, *, filename: str = "<zone>", authentic: bool = False) -> "FixedResolver":
        """The records of a zone file, several zones in one allowed; names are relative to the root or `$ORIGIN`."""
        records: dict[str, dict[str, list[Data]]] = {}
        for name, kind, data in _read(text, filename):
            records.setdefault(name, {}).setdefault(kind, []).append(data)
        failing = [f"{name} {kind}" for name, kinds in _FAILS.findall(text) for kind in kinds.split() or [""]]
        return cls(records, failing, authentic=authentic)

    @classmethod
    def from_mapping(cls, text: str, *, filename: str = "<mapping>", authentic: bool = False) -> "FixedResolver":
        """The records of a YAML or JSON mapping, name → type → values; raises ZoneError."""
        try:
            records, failing = parse_mapping(text)
            return cls(records, failing, authentic=authentic)
        except ValueError as error:
            raise ZoneError(f"the mapping cannot be used: {filename}: {error}") from None

    @classmethod
    def from_file(cls, text: str, filename: str) -> "FixedResolver":
        """A mapping where the file's name or its text says so, else a zone file; raises ZoneError."""
        named = filename.lower().endswith((".yaml", ".yml", ".json"))
        return (cls.from_mapping if named or _is_mapping(text) else cls.from_zone)(text, filename=filename)

    def ask(self, question: Question) -> Deferred[Answer]:
        return succeed(self.answer(question))

    def answer(self, question: Question) -> Answer:
        """The answer, as a plain value."""
        self.asked.append(question)
        name = _key(question.name)
        for _ in range(_MAX_ALIASES):
            if to_name(name) is None:
                break
            moved = self._moved(name) if self._subtrees else ""
            if moved:
                name = moved
                continue
            node = self._node(name)
            if node is not None and question.type in node:
                canonical = name if name != _key(question.name) else ""
                return self._answer(AnswerStatus.FOUND, node[question.type], canonical)
            if {(name, question.type), (name, "")} & self._failing:
                return Answer(status=AnswerStatus.FAILED, reason="the server does not answer")
            if node is None or "CNAME" not in node:
                return self._answer(AnswerStatus.NO_NAME if node is None else AnswerStatus.NO_DATA)
            name = str(node["CNAME"][0])
        else:
            return Answer(status=AnswerStatus.FAILED, reason=f"more than {_MAX_ALIASES} aliases")
        return Answer(status=AnswerStatus.NO_NAME, reason="the DNS cannot have this name")

    def _answer(self, status: AnswerStatus, records: tuple[Data, ...] = (), canonical: str = "") -> Answer:
        return Answer(status=status, records=records, ttl=self._ttl, authentic=self._authentic, canonical=canonical)

    def _moved(self, name: str) -> str:
        """What a name below a DNAME is called instead, "" for all others (RFC 6672 2.2)."""
        below, _, parent = name.partition(".")
        while parent:
            if parent in self._subtrees:
                return f"{below}.{self._subtrees[parent]}"
            label, _, parent = parent.partition(".")
            below = f"{below}.{label}"
        return ""

    def _node(self, name: str) -> Mapping[str, tuple[Data, ...]] | None:
        """What stands at a name, None where it does not exist and no wildcard stands for it (RFC 4592 3.3.1)."""
        if name in self._names:
            return self._records.get(name, {})
        parent = name
        while parent:
            parent = parent.partition(".")[2]
            if parent in self._names or not parent:
                return self._records.get(f"*.{parent}" if parent else "*")
        return None


def _is_mapping(text: str) -> bool:
    """No zone file reads as a YAML mapping whose values are mappings or lists, or all say that names fail."""
    try:
        document = read_yaml(text, yaml.BaseLoader)
    except MappingError:
        return False
    if not isinstance(document, dict):
        return False
    nodes = document.values()
    return any(isinstance(node, dict | list) for node in nodes) or all(map(says_failing, nodes))


def _key(name: str) -> str:
    return name.lower().removesuffix(".")


def _fail_key(text: str) -> tuple[str, str]:
    name, _, kind = text.partition(" ")
    return _key(name), kind.strip().upper()


def _ancestors(name: str) -> Iterable[str]:
    while name:
        yield name
        name = name.partition(".")[2]


def _checked(kind: str, data: Data) -> Data:
    """Data in the shape an Answer has it; raises ValueError for any other."""
    if kind not in TYPES or not isinstance(data, _SHAPES.get(kind, str)):
        raise ValueError(f"{data!r} is not the data of a {kind} record")
    if kind in ("A", "AAAA"):
        return str((ipaddress.IPv4Address if kind == "A" else ipaddress.IPv6Address)(data))
    if isinstance(data, Exchange):
        return Exchange(data.preference, _key(data.host))
    return _key(data) if isinstance(data, str) else data


class _Collector(dns.zonefile.RRsetsReaderTransaction):
    """Takes what the zone file's reader reads, whatever zone it belongs to."""

    def __init__(self) -> None:
        manager = dns.zonefile.RRSetsReaderManager()
        super().__init__(manager, True, False)  # type: ignore[no-untyped-call]  # dnspython has no types here
        self.read: list[tuple[str, str, Data]] = []

    def add(self, *args: Any) -> None:
        name, _, rdata = args
        kind = dns.rdatatype.to_text(rdata.rdtype)
        if kind in TYPES:
            self.read.append((from_name(name), kind, from_rdata(rdata)))


class _Tokens(dns.tokenizer.Tokenizer):
    """Counts the line in which a token begins: what is wrong with it is told when the line's end has been read, too."""

    _line = 1

    def get(self, want_leading: bool = False, want_comment: bool = False) -> dns.tokenizer.Token:
        if self.ungotten_token is None:
            self._line = self.line_number - (self.ungotten_char == "\n")
        return super().get(want_leading, want_comment)

    def where(self) -> tuple[str, int]:
        return self.filename, self._line


def _quoted(text: str, tokens: _Tokens) -> str:
    """The line that is wrong: what the reader says of it is often less."""
    _, number = tokens.where()
    line = (text.split("\n")[number - 1 : number] or [""])[0].strip()
    return f" ({line[:_SHOWN]}{'...' if len(line) > _SHOWN else ''})" if line else ""


def _read(text: str, filename: str) -> list[tuple[str, str, Data]]:
    collector = _Collector()
    tokens = _Tokens(text, filename)
    try:
        dns.zonefile.Reader(tokens, dns.rdataclass.IN, collector, default_ttl=300).read()
    except (dns.exception.DNSException, ValueError, OSError) as error:
        wrong = str(error) or type(error).__name__
        if "$INCLUDE" in wrong:
            wrong += ": put its records into this file"
        raise ZoneError(f"the zone file cannot be used: {wrong}{_quoted(text, tokens)}") from None
    return collector.read
