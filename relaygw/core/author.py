"""Who a message says it is from: the domains in its From fields (RFC 5322 3.6.2), as DMARC wants them.

The field is hostile. What a reader's program may show as an author is better found once too often than missed: where
the grammar is broken, everything that looks like the address of an author counts. Domains are A-labels (RFC 9989
5.3.1).
"""

import re

import attrs

from relaygw.core.address import AddressError, normalize_domain
from relaygw.core.headers import named_fields, value_of

MAX_OCTETS = 20_000
"""Octets of From fields that are read, of all together: it is done while others wait."""

MAX_FIELDS = 100
"""From fields that are read; one is right."""


_MOST_FLAWS = 5


@attrs.frozen(kw_only=True)
class Authors:
    """`domains` are all different, in order; `fields` is how many From fields there are.

    `flaw` says why there may be no author, or another one than those found; "" where all is well formed. `unread`:
    there is more than anybody honest writes, and somebody's name may stand in what was not read.
    """

    domains: tuple[str, ...] = ()
    fields: int = 0
    flaw: str = ""
    unread: bool = False


def read_authors(head: bytes) -> Authors:
    """The authors a header section names."""
    found = list(map(value_of, named_fields(head).get(b"from", ())))
    if not found:
        return Authors(flaw="there is no From field")
    if len(found) > MAX_FIELDS or sum(map(len, found)) > MAX_OCTETS:
        flaw = f"From has {sum(map(len, found))} octets in {len(found)} field{'' if len(found) == 1 else 's'}"
        return Authors(fields=len(found), flaw=flaw, unread=True)
    domains: dict[str, None] = {}
    flaws = [] if len(found) == 1 else [f"{len(found)} From fields"]
    for value in found:
        named, flaw = _domains(value)
        domains.update(dict.fromkeys(named))
        flaws += [flaw] if flaw else []
    if not domains and not flaws:
        flaws.append("From names no address")
    return Authors(domains=tuple(domains), fields=len(found), flaw="; ".join(flaws[:_MOST_FLAWS]))


# What nearly all mail has: words or one quoted string, and one address in angle brackets; or the address alone.
_PLAIN = re.compile(
    rb"(?:[^\"()<>\[\]:;@\\,]*|[ \t]*\"[^\"\\]*\"[ \t]*)<[^\s\"()<>\[\]:;@\\,]+@([A-Za-z0-9.-]+)>[ \t]*\Z"
    rb"|[^\s\"()<>\[\]:;@\\,]+@([A-Za-z0-9.-]+)\Z"
)


def _domains(value: bytes) -> tuple[list[str], str]:
    """The domains of one field, and what is wrong with it."""
    plain = _PLAIN.match(value)
    if plain is not None:
        raw = [(plain[1] or plain[2]).decode("ascii")]
        flaw = ""
    else:
        text = value.decode("utf-8", "surrogateescape").translate(_AS_SHOWN)
        raw, flaw = _Mailboxes(text).read()
        if flaw or not raw:  # then what looks like an address anywhere, as some program will show it
            raw = [*raw, *_named(text), *_named(text.replace('"', ""))]
    found = []
    for name in raw:
        try:
            domain = normalize_domain(name.strip("."))
        except AddressError as error:
            flaw = flaw or f"From: {name[:80]!r}: {error}"
            domain = _above(name)
        if domain.startswith("["):
            flaw = flaw or f"From: {domain} is no domain"
        elif domain:
            found.append(domain)
    return found, flaw


_HIDDEN = (*range(0x09), *range(0x0E, 0x1C), 0x7F)
_AS_SHOWN = {**{0xDC00 + octet: chr(octet) for octet in range(0x80, 0x100)}, **dict.fromkeys(_HIDDEN)}
"""What programs make of octets that are no UTF-8: most take them for Latin-1. And control characters that are no white
space show nowhere."""

_MOST_LABELS = 8


def _above(name: str) -> str:
    """The nearest domain above what is no name itself, "" where there is none of two labels: `-.example.com` is shown
    as one of example.com's, and cannot be anybody else's."""
    if name.startswith("["):
        return ""
    labels = re.split("[.\u3002\uff0e\uff61]", name.strip("."))[-_MOST_LABELS:]
    for start in range(len(labels) - 1):
        try:
            return normalize_domain(".".join(labels[start:]))
        except AddressError:
            continue
    return ""


_AT_DOMAIN = re.compile(r"@\s*(\[[^\[\]]*\]|(?:[^\s@<>()\",;:\[\]\\]|\s+(?=\.)|(?<=\.)\s+)+)")


def _named(text: str) -> list[str]:
    """What follows each @. White space counts as one space: the time long runs of it take would grow with their
    square."""
    return ["".join(name.split()) for name in _AT_DOMAIN.findall(" ".join(text.split()))]


class _Mailboxes:
    """An address list (RFC 5322 3.4) read from left to right, groups included (RFC 6854)."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._place = 0
        self._bare: list[str] = []  # the current mailbox outside of angle brackets
        self._angles: list[str] = []  # and inside of them
        self._domains: list[str] = []
        self._flaw = ""

    def read(self) -> tuple[list[str], str]:
        while self._place < len(self._text):
            self._step(self._text[self._place])
        self._end()
        return self._domains, self._flaw

    def _step(self, sign: str) -> None:
        if sign == '"':
            self._take_quoted()
        elif sign == "(":
            self._skip_comment()
        elif sign == "<":
            self._take_angle()
        elif sign == "[":
            self._take_literal()
        else:
            self._place += 1
            if sign in ",;":
                self._end()
            elif sign == ":":  # the name of a group ends
                self._bare.clear()
            else:
                self._bare.append(sign)

    def _take_quoted(self) -> None:
        """A quoted string stands for one word; it may hold anything, and is no address."""
        self._place = self._after_quoted(self._place)
        self._bare.append('"')

    def _after_quoted(self, place: int) -> int:
        place += 1
        while place < len(self._text) and self._text[place] != '"':
            place += 2 if self._text[place] == "\\" else 1
        if place >= len(self._text):
            self._flaw = self._flaw or "From: a quoted string does not end"
        return place + 1

    def _skip_comment(self) -> None:
        depth, place = 0, self._place
        while place < len(self._text):
            sign = self._text[place]
            depth += {"(": 1, ")": -1}.get(sign, 0)
            place += 2 if sign == "\\" else 1
            if not depth:
                break
        if depth:
            self._flaw = self._flaw or "From: a comment does not end"
        self._place = place
        self._bare.append(_COMMENT)

    def _take_literal(self) -> None:
        end = self._text.find("]", self._place)
        end = end + 1 if end >= 0 else len(self._text)
        self._bare.append(self._text[self._place : end])
        self._place = end

    def _take_angle(self) -> None:
        """What stands between angle brackets; quoted strings and comments in it are looked over."""
        inner: list[str] = []
        self._place += 1
        outer, self._bare = self._bare, inner
        while self._place < len(self._text) and self._text[self._place] != ">":
            sign = self._text[self._place]
            if sign == '"':
                self._take_quoted()
            elif sign == "(":
                self._skip_comment()
            elif sign == "[":
                self._take_literal()
            else:
                inner.append(sign)
                self._place += 1
        if self._place >= len(self._text):
            self._flaw = self._flaw or "From: an angle bracket is not closed"
        self._place += 1
        self._bare = outer
        self._angles.append("".join(inner))

    def _end(self) -> None:
        """A mailbox has ended: its address is in angle brackets where there are any."""
        if self._angles:
            for text in self._angles:
                # A source route (RFC 5322 4.4) is looked over.
                self._address(text.rpartition(":")[2] if text.lstrip().startswith("@") else text)
        elif "".join(self._bare).replace(_COMMENT, " ").strip():
            self._address("".join(self._bare))
        self._bare.clear()
        self._angles.clear()

    def _address(self, text: str) -> None:
        plain = text.replace(_COMMENT, " ")
        named = _named(plain)
        if not named or '"' in plain.rpartition("@")[2]:
            self._flaw = self._flaw or f"From: {plain.strip()[:80]!r} is no address"
        elif _TORN.search(text):
            self._flaw = self._flaw or "From: a comment inside of a name"
            named += _named(text.replace(_COMMENT, ""))
        self._domains += named


_COMMENT = "("
"""What stands for a comment while a mailbox is read."""
_TORN = re.compile(r"[^\s.@(]\(+[^\s.@(]")
