"""Who a message says it is from: the domains in its From fields (RFC 5322 3.6.2), as DMARC wants them.

The field is hostile. What a reader's program may show as an author is better found once too often than missed: where
the grammar is broken, everything that looks like the address of an author counts. Domains are A-labels (RFC 9989
5.3.1).
"""

import binascii
import re

import attrs

from relaygw.core.address import MAX_LABELS, AddressError, label_count, normalize_domain
from relaygw.core.headers import named_fields, odd_fields, value_of

MAX_OCTETS = 20_000
"""Octets of From fields that are read, of all together: it is done while others wait."""

MAX_FIELDS = 100
"""From fields that are read; one is right."""

MAX_NAMES = 200
"""What may be different domains in one field; it takes time to find out."""

MAX_CONVERTED = 1500
"""Labels of names that are not all ASCII, in all From fields together: to make them A-labels takes time too."""

_MOST_FLAWS = 5


class _Crowd(Exception):
    """More than is looked at."""


class _Converter:
    """normalize_domain for the names of one message; raises _Crowd too."""

    def __init__(self) -> None:
        self._left = MAX_CONVERTED

    def __call__(self, name: str) -> str:
        if not name.isascii() and (labels := label_count(name)) <= MAX_LABELS:
            self._left -= labels
            if self._left < 0:
                raise _Crowd(f"From names domains of more than {MAX_CONVERTED} labels that are not ASCII")
        return normalize_domain(name)


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
    found = list(map(value_of, (*named_fields(head).get(b"from", ()), *odd_fields(head).get(b"from", ()))))
    if not found:
        return Authors(flaw="there is no From field")
    if len(found) > MAX_FIELDS or sum(map(len, found)) > MAX_OCTETS:
        flaw = f"From has {sum(map(len, found))} octets in {len(found)} field{'' if len(found) == 1 else 's'}"
        return Authors(fields=len(found), flaw=flaw, unread=True)
    convert = _Converter()
    domains: dict[str, None] = {}
    flaws = [] if len(found) == 1 else [f"{len(found)} From fields"]
    for value in found:
        try:
            named, flaw = _domains(value, convert)
        except _Crowd as crowd:
            return Authors(fields=len(found), flaw=str(crowd), unread=True)
        domains.update(dict.fromkeys(named))
        flaws += [flaw] if flaw else []
    if not domains and not flaws:
        flaws.append("From names no address")
    return Authors(domains=tuple(domains), fields=len(found), flaw="; ".join(flaws[:_MOST_FLAWS]))


# What nearly all mail has: words or one quoted string, and one address in angle brackets; or the address alone.
_PLAIN = re.compile(
    rb"(?:[^\"()<>\[\]:;@\\,]*|[ \t]*\"[^\"\\]*\"[ \t]*)<[^\s\"()<>\[\]:;@\\,?\x80-\xff]+@([A-Za-z0-9.-]+)>[ \t]*\Z"
    rb"|[^\s\"()<>\[\]:;@\\,?\x80-\xff]+@([A-Za-z0-9.-]+)\Z"
)


def _domains(value: bytes, convert: _Converter) -> tuple[list[str], str]:
    """The domains of one field, and what is wrong with it."""
    plain = _PLAIN.match(value)
    if plain is not None and (b"=?" not in value or _decoded(value.decode("latin-1")).count("@") == 1):
        raw = [(plain[1] or plain[2]).decode("ascii")]
        flaw = ""
    else:
        raw, flaw = _read(value.decode("utf-8", "surrogateescape"))
    names = dict.fromkeys(raw)
    if len(names) > MAX_NAMES:
        raise _Crowd(f"From names {len(names)} domains")
    found = []
    for name in names:
        try:
            domain = convert(name.strip("."))
        except AddressError as error:
            flaw = flaw or f"From: {name[:80]!r}: {error}"
            found += _names_in(name, convert)
            continue
        if domain.startswith("["):
            flaw = flaw or f"From: {domain} is no domain"
        elif domain:
            found.append(domain)
    return found, flaw


_HIDDEN = (*range(0x09), *range(0x0E, 0x1C), 0x7F, 0xAD, 0x200B, 0x200E, 0x200F)
_HIDDEN += (*range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF)
_AS_SHOWN = {**{0xDC00 + octet: chr(octet) for octet in range(0x80, 0x100)}, **dict.fromkeys(_HIDDEN)}
"""What programs make of octets that are no UTF-8: most take them for Latin-1. And control characters that are no white
space show nowhere, nor do those that rule the direction of writing."""
_LOOSE = re.compile("[\x00-\x08\x0e-\x1b\x7f\udc80-\udcff]+")
"""Control characters and such octets: others end there, or show a sign for them that belongs to no name."""


def _read(text: str) -> tuple[list[str], str]:
    """The names of one field and what is wrong with it; octets that are no UTF-8 stand in it as surrogates."""
    shown = text.translate(_AS_SHOWN)
    raw, flaw = _Mailboxes(shown).read()
    decoded = _decoded(shown)
    for other in {shown, decoded} if "\\" in shown or "(" in shown else {decoded} - {shown}:
        there = set(raw)
        simply = [name for name in _Mailboxes(other, simply=True).read()[0] if name not in there]
        raw, flaw = raw + simply, flaw or ("From: it can be read in two ways" if simply else "")
    if flaw or not raw:  # then what looks like an address anywhere, as some program will show it
        raw = [*raw, *_named(shown), *_named(shown.replace('"', "")), *_named(decoded)]
    if _LOOSE.search(text):
        raw = [*raw, *(name for name in _named(_LOOSE.sub(" ", text)) if "." in name.strip("."))]
    return raw, flaw


_WORD = re.compile(r"=\?[^?\s]*\?([bq])\?([^?\s]*)\?=", re.IGNORECASE)
"""An encoded word (RFC 2047 2)."""


def _decoded(text: str) -> str:
    """With what encoded words hide, in whatever charset it is: names of domains look the same in nearly all. It stands
    by itself, as some programs end what they show there."""
    return _WORD.sub(lambda word: f" {_word(word[1], word[2])} ", text)


def _word(encoding: str, text: str) -> str:
    octets = text.encode("utf-8", "surrogateescape")
    if encoding in "qQ":
        octets = binascii.a2b_qp(octets, header=True)
    else:
        plain = _NOT_BASE64.sub(b"", octets)
        plain = plain[: len(plain) - (len(plain) % 4 == 1)]
        octets = binascii.a2b_base64(plain + b"=" * (-len(plain) % 4))
    return octets.decode("utf-8", "surrogateescape").translate(_AS_SHOWN)


_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")
_MOST_LABELS = 8
_MOST_NAMES = 100
_NAME = re.compile("[\\w.\u3002\uff0e\uff61-]+")
_DOT = re.compile("[.\u3002\uff0e\uff61]+")


def _names_in(text: str, convert: _Converter) -> list[str]:
    """The domains of two labels and more in what is no name itself: `example.com>>` and `-.example.com` are shown as
    example.com's, and cannot be anybody else's."""
    return [domain for run in _NAME.findall(text)[:_MOST_NAMES] if (domain := _above(run.strip("-"), convert))]


def _above(name: str, convert: _Converter) -> str:
    """The name, or the nearest domain above it where it is none itself; "" where there is none of two labels."""
    labels = [label for label in _DOT.split(name) if label][-_MOST_LABELS:]
    for start in range(len(labels) - 1):
        if labels[-1].isdecimal():  # an address
            break
        try:
            return convert(".".join(labels[start:]))
        except AddressError:
            continue
    return ""


_AT_DOMAIN = re.compile(r"@[\s\\]*(\[[^\[\]]*\]|\[?(?:[^\s@<>()\",;:\[\]\\]|\s+(?=\.)|(?<=\.)\s+)+)")


def _named(text: str) -> list[str]:
    """What follows each @. White space counts as one space: the time long runs of it take would grow with their
    square. What looks like @ and the full stop is taken for them."""
    found = []
    for name in _AT_DOMAIN.findall(" ".join(text.translate(_ALIKE).split())):
        first, space, _ = name.partition(" ")
        found.append(name.replace(" ", ""))
        if space and "." in first.strip("."):  # some end there
            found.append(first)
    return found


_ALIKE = {0xFF20: "@", 0xFE6B: "@", 0x2024: ".", 0xFE52: "."}


class _Mailboxes:
    """An address list (RFC 5322 3.4) read from left to right, groups included (RFC 6854).

    `simply`: as programs read it that know neither quoted pairs nor comments within comments, or decode first, and only
    what stands in angle brackets then."""

    def __init__(self, text: str, *, simply: bool = False) -> None:
        self._text = text
        self._simply = simply
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
        elif sign == "[" and "".join(self._bare[-2:]).rstrip().endswith("@"):
            self._take_literal()
        else:
            self._place += 1
            if sign in ",;":
                self._end()
            elif sign == ":":
                self._name_group()
            else:
                self._bare.append(sign)
                if sign == "\\":
                    self._flaw = self._flaw or "From: a backslash outside of quotes"

    def _name_group(self) -> None:
        """The name of a group ends, which holds no address."""
        bare = "".join(self._bare)
        if self._angles or "@" in bare or _QUOTED_AT in bare or _WORD.search(bare):
            self._flaw = self._flaw or "From: an address where a group is named"
        self._bare.clear()

    def _take_quoted(self) -> None:
        """A quoted string stands for one word; it may hold anything, and is no address."""
        start, self._place = self._place, self._after_quoted(self._place)
        self._bare.append(_QUOTED_AT if "@" in self._text[start : self._place] else '"')

    def _after_quoted(self, place: int) -> int:
        place += 1
        while place < len(self._text) and self._text[place] != '"':
            place += 2 if self._text[place] == "\\" and not self._simply else 1
        if place >= len(self._text):
            self._flaw = self._flaw or "From: a quoted string does not end"
        return place + 1

    def _skip_comment(self) -> None:
        depth, place = 0, self._place
        while place < len(self._text):
            sign = self._text[place]
            depth += {"(": 1, ")": -1}.get(sign, 0)
            place += 2 if sign == "\\" and not self._simply else 1
            if not depth or (self._simply and sign == ")"):
                break
        if depth:  # read simply, what is wrong does not count
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
        self._bare = [*outer, ">"]
        self._angles.append("".join(inner))

    def _end(self) -> None:
        """A mailbox has ended: its address is in angle brackets where there are any."""
        bare = "".join(self._bare)
        if self._angles:
            if "@" in bare or bare.partition(">")[2].strip(f"{_COMMENT}> \t"):
                self._flaw = self._flaw or "From: more than a name outside of the angle brackets"
            for text in self._angles:
                self._angle(text)
        elif bare.replace(_COMMENT, " ").strip() and not self._simply:
            self._address(bare)
        self._bare.clear()
        self._angles.clear()

    def _angle(self, text: str) -> None:
        """A source route (RFC 5322 4.4) is looked over."""
        if text.lstrip().startswith("@") and ":" in text:
            route, _, text = text.rpartition(":")
            if not all(hop.lstrip()[:1] in ("", "@") and hop.count("@") < 2 for hop in route.split(",")):
                self._flaw = self._flaw or "From: an address in a source route"
        self._address(text)

    def _address(self, text: str) -> None:
        if _QUOTED_AT in text or _WORD.search(text):
            self._flaw = self._flaw or "From: an address that holds another one, or an encoded word"
        text = text.replace(_QUOTED_AT, '"')
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
_QUOTED_AT = "\x01"
"""And what for a quoted string that holds an @; control characters are gone by then."""
_TORN = re.compile(r"[^\s.@(]\(+[^\s.@(]")
