"""SPF records: which of a name's TXT records is one, and what it says (RFC 7208 4.5, 4.6.1, 5, 6, 12).

The whole record is parsed before anything of it is evaluated, so that a syntax error anywhere is found (RFC 7208 4.6).
Parsing gives a Record or one SpfSyntaxError.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable
from functools import lru_cache, partial

import attrs

from relaygw.core.question import Data
from relaygw.core.spf.macro import MacroString, SpfSyntaxError, parse_domain_spec, parse_macro_string
from relaygw.core.spf.result import Result

MAX_RECORD = 16 * 1024
"""Octets of one record. The RFC sets no bound, but says 512 octets are much (3.4); parsing costs us CPU."""

_SHOWN = 300
"""Characters of a term that are kept to be told and journaled."""

_QUALIFIERS = {"+": Result.PASS, "-": Result.FAIL, "?": Result.NEUTRAL, "~": Result.SOFTFAIL}
_MODIFIER = re.compile(r"([A-Za-z][A-Za-z0-9._-]*)=(.*)\Z")
_MECHANISM = re.compile(r"([+?~-]?)([A-Za-z0-9]+)(?:(:)([^ ]*)|(/[^ ]*))?\Z")
_DUAL_CIDR = re.compile(r"(?:/(0|[1-9][0-9]?))?(?://(0|[1-9][0-9]{0,2}))?\Z")
_CIDR = re.compile(r"/(0|[1-9][0-9]{0,2})\Z")


@attrs.frozen(kw_only=True)
class Directive:
    """A mechanism with its qualifier. `text` is the beginning of the term as published; `target` None means the current
    domain.

    `network` (ip4, ip6) is an address of which `prefix4` or `prefix6` bits count, as they do for a and mx.
    """

    name: str
    qualifier: Result
    text: str
    target: MacroString | None = None
    network: ipaddress.IPv4Address | ipaddress.IPv6Address | None = None
    prefix4: int = 32
    prefix6: int = 128


@attrs.frozen(kw_only=True)
class Record:
    """One SPF record. `redirect` and `explanation` (exp=) are None where it has none."""

    directives: tuple[Directive, ...]
    redirect: MacroString | None = None
    explanation: MacroString | None = None


def select(records: Iterable[Data]) -> list[bytes]:
    """Those TXT records that are SPF records: version "v=spf1", then a space or the end (RFC 7208 4.5)."""
    texts = [text for text in records if isinstance(text, bytes)]
    return [text for text in texts if text[:6].lower() == b"v=spf1" and text[6:7] in (b"", b" ")]


def parse_record(record: bytes) -> Record:
    """The meaning of a selected record; raises SpfSyntaxError."""
    return _parse_often(record) if len(record) <= _OFTEN else _parse(record)


def _parse(record: bytes) -> Record:
    if len(record) > MAX_RECORD:
        raise SpfSyntaxError(f"the record is longer than {MAX_RECORD} octets")
    if not record.isascii():
        raise SpfSyntaxError("the record is not US-ASCII")  # RFC 7208 3.1
    directives: list[Directive] = []
    modifiers: dict[str, MacroString] = {}
    for term in record.decode("ascii")[6:].split(" "):
        modifier = _MODIFIER.match(term)
        if modifier is not None:
            _take_modifier(modifier[1].lower(), modifier[2], modifiers)
        elif term:
            directives.append(_directive(term))
    return Record(directives=tuple(directives), redirect=modifiers.get("redirect"), explanation=modifiers.get("exp"))


_OFTEN = 512
_parse_often = lru_cache(maxsize=1024)(_parse)
"""Senders are few and messages many: records of ordinary length are remembered; long ones would fill the memory."""


def _take_modifier(name: str, value: str, modifiers: dict[str, MacroString]) -> None:
    if name not in ("redirect", "exp"):
        parse_macro_string(
            value, explanation=True
        )  # RFC 7208 6: an unknown modifier is ignored, but must be well formed
        return
    if name in modifiers:
        raise SpfSyntaxError(f"{name}= appears twice")
    modifiers[name] = parse_domain_spec(value)


def _directive(term: str) -> Directive:
    match = _MECHANISM.match(term)
    name = match[2].lower() if match else ""
    if match is None or name not in _SHAPES:
        raise SpfSyntaxError(f"unknown term {term[:100]!r}")
    make = partial(Directive, name=name, qualifier=_QUALIFIERS[match[1] or "+"], text=term[:_SHOWN])
    # RFC 7208 12: what follows the name is ":" argument, "/" prefix length, or nothing.
    argument = match[4] if match[3] else None
    try:
        return _SHAPES[name](make, argument, match[5] or "")
    except SpfSyntaxError as error:
        raise SpfSyntaxError(f"{term[:100]!r}: {error}") from None


Make = Callable[..., Directive]


def _all(make: Make, argument: str | None, cidr: str) -> Directive:
    if argument is not None or cidr:
        raise SpfSyntaxError("takes no argument")
    return make()


def _address(make: Make, argument: str | None, cidr: str) -> Directive:
    """a and mx: [":" domain-spec] [dual-cidr-length]; the lengths are what ends the argument."""
    text = argument if argument is not None else cidr
    lengths = _DUAL_CIDR.search(text)
    assert lengths is not None  # it matches at the end even where it matches nothing
    domain = text[: lengths.start()]
    if argument is None and domain:
        raise SpfSyntaxError("the prefix length is not well formed")
    return make(
        target=None if argument is None else parse_domain_spec(domain),
        prefix4=_length(lengths[1], 32),
        prefix6=_length(lengths[2], 128),
    )


def _ptr(make: Make, argument: str | None, cidr: str) -> Directive:
    if cidr:
        raise SpfSyntaxError("takes no prefix length")
    return make(target=None if argument is None else parse_domain_spec(argument))


def _domain(make: Make, argument: str | None, cidr: str) -> Directive:
    if argument is None or cidr:
        raise SpfSyntaxError("needs a domain")
    return make(target=parse_domain_spec(argument))


def _ip4(make: Make, argument: str | None, cidr: str) -> Directive:
    text, length = _network(argument)
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        raise SpfSyntaxError("not an IPv4 address") from None
    return make(network=address, prefix4=_length(length, 32))


def _ip6(make: Make, argument: str | None, cidr: str) -> Directive:
    text, length = _network(argument)
    try:
        address = ipaddress.IPv6Address("" if "%" in text else text)  # a zone is no part of the grammar
    except ValueError:
        raise SpfSyntaxError("not an IPv6 address") from None
    return make(network=address, prefix6=_length(length, 128))


def _network(argument: str | None) -> tuple[str, str | None]:
    if not argument:
        raise SpfSyntaxError("needs an address")
    cidr = _CIDR.search(argument)
    return (argument[: cidr.start()], cidr[1]) if cidr else (argument, None)


def _length(digits: str | None, bits: int) -> int:
    if digits is None:
        return bits
    if int(digits) > bits:
        raise SpfSyntaxError(f"the prefix length is more than {bits}")
    return int(digits)


_SHAPES = {
    "all": _all,
    "include": _domain,
    "a": _address,
    "mx": _address,
    "ptr": _ptr,
    "ip4": _ip4,
    "ip6": _ip6,
    "exists": _domain,
}
