"""The kinds of value that TOML has no type for: durations, sizes, domains, networks, paths …

A Kind stands in an `Annotated` type of the schema; the reader calls `parse(value, folder)`, which answers the
value the schema wants or raises ValueError, and tells `allowed` to the operator when it does.
"""

import ipaddress
import math
import os
import re
from collections.abc import Callable
from typing import Annotated, Any

import attrs

from relaygw.core.address import normalize_domain, parse_address
from relaygw.core.certificates import fingerprint

_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)([smhd]))+\Z")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d+)\s?([KMG]?)(?:i?B)?\Z")
_FACTOR = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}
_LONGEST = 3650 * 86400.0
_LABELLED = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\Z")


@attrs.frozen
class Kind:
    """`allowed` completes the sentence "allowed is …"."""

    allowed: str
    parse: Callable[[Any, str], Any]


def duration(value: Any) -> float:
    """Seconds of "90s", "5m", "1h30m", "5d" or a plain number."""
    if isinstance(value, str) and _DURATION.match(value):
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(value))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    else:
        raise ValueError("not a duration")
    if not math.isfinite(seconds) or not 0 <= seconds <= _LONGEST:
        raise ValueError("out of range")
    return seconds


def size(value: Any) -> int:
    """Octets of "256K", "50M", "1G" or a plain number."""
    if isinstance(value, str):
        match = _SIZE.match(value)
        if match:
            return int(match[1]) * _FACTOR[match[2]]
    elif isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ValueError("not a size")


def network(text: Any) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """A network in CIDR form, or one address. Host bits that are set are refused: the network meant is not clear."""
    return ipaddress.ip_network(_text(text))


def nameserver(value: Any) -> str:
    """`address` or `address:port`; an IPv6 address with a port stands in brackets."""
    text = _text(value)
    host, port = text, "53"
    if text.startswith("["):
        host, closing, rest = text[1:].partition("]")
        if not closing or rest[:1] not in ("", ":"):
            raise ValueError("not an address in brackets")
        port = rest[1:] if rest else "53"
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    ipaddress.ip_address(host)
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError("not a port")
    return text


def domain(value: Any) -> str:
    """A domain name in lower case A-labels; an address literal is none."""
    text = normalize_domain(_text(value).removesuffix("."))
    if text.startswith("["):
        raise ValueError("an address literal")
    return text


def domain_or_below(value: Any) -> str:
    """A domain, or ".example.com" for every domain below example.com."""
    text = _text(value)
    return f".{domain(text[1:])}" if text.startswith(".") else domain(text)


def postmaster(value: Any) -> str:
    return str(parse_address(_text(value))) if value != "" else ""


def plugin(value: Any) -> str:
    """An entry point's name or `module:object`; whether it exists is asked when it is loaded."""
    text = _text(value)
    module, colon, name = text.partition(":")
    names = (*module.split("."), *name.split(".")) if colon else (text.replace("-", "_"),)
    if not all(part.isidentifier() for part in names):
        raise ValueError("not a plugin's name")
    return text


def label(value: Any) -> str:
    text = _text(value)
    if not _LABELLED.match(text):
        raise ValueError("not a name")
    return text


def path(value: Any, folder: str) -> str:
    """An absolute path; a relative one is taken from the folder of the configuration file."""
    text = _text(value)
    if not text or "\0" in text:
        raise ValueError("not a path")
    return os.path.normpath(os.path.join(folder, text))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("not text")
    return value


def _alone(parse: Callable[[Any], Any]) -> Callable[[Any, str], Any]:
    """A parser that needs no folder; an AddressError is a ValueError already."""
    return lambda value, _: parse(value)


def _positive(value: Any) -> float:
    seconds = duration(value)
    if seconds == 0:
        raise ValueError("zero")
    return seconds


def _moments(value: Any) -> tuple[float, ...]:
    """One duration or several, in their order; zero, or an empty list, is none."""
    found = [_positive(each) for each in value] if isinstance(value, list) else [duration(value)]
    return tuple(sorted({each for each in found if each}))


def _report_to(value: Any) -> str:
    return str(value) if value in ("postmaster", "none") else str(parse_address(_text(value)))


def _language(value: Any) -> str:
    """A language tag (RFC 5646), in lower case."""
    return _matching(re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*\Z"))(value).lower()


def _matching(pattern: re.Pattern[str]) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if not pattern.match(_text(value)):
            raise ValueError("not of this form")
        return str(value)

    return parse


def _integer(low: int, high: int) -> Callable[[Any, str], int]:
    def parse(value: Any, _: str) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError("out of range")
        return value

    return parse


_A_DURATION = 'a duration such as "90s", "5m", "4h", "5d" or a number of seconds'

Duration = Annotated[float, Kind(f"{_A_DURATION}, more than 0, at most 10 years", _alone(_positive))]
DurationOrZero = Annotated[float, Kind(f"{_A_DURATION}, from 0 to 10 years", _alone(duration))]
Size = Annotated[int, Kind('a size such as "256K", "50M", "1G" or a number of octets', _alone(size))]
Count = Annotated[int, Kind("a whole number, 1 or more", _integer(1, 2**31 - 1))]
CountOrZero = Annotated[int, Kind("a whole number, 0 for no limit", _integer(0, 2**31 - 1))]
Port = Annotated[int, Kind("a port from 1 to 65535", _integer(1, 65535))]
Domain = Annotated[str, Kind('a domain name such as "mail.example.com"', _alone(domain))]
DomainOrBelow = Annotated[
    str, Kind('a domain name, or ".example.com" for every domain below it', _alone(domain_or_below))
]
AnyNetwork = Annotated[
    ipaddress.IPv4Network | ipaddress.IPv6Network,
    Kind('a network such as "192.0.2.0/24" or "2001:db8::/32" without host bits, or one address', _alone(network)),
]
DomainOrNone = Annotated[str, Kind('a domain name, or ""', _alone(lambda value: value and domain(value)))]
Delimiter = Annotated[
    str, Kind('signs such as "+", "+-", or ""', _alone(_matching(re.compile(r"[!#$%&'*+/=?^_`{|}~.-]*\Z"))))
]
HashLength = Annotated[int, Kind("a whole number from 4 to 20", _integer(4, 20))]
Nameserver = Annotated[str, Kind('an address such as "192.0.2.53" or "192.0.2.53:5300"', _alone(nameserver))]
Finding = Annotated[
    str,
    Kind(
        'a method and its result, such as "dmarc=fail"',
        _alone(_matching(re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*=[a-z0-9]+(?:-[a-z0-9]+)*\Z"))),
    ),
]
FilePath = Annotated[str, Kind("a path; a relative one is taken from the folder of this file", path)]
Postmaster = Annotated[str, Kind('an address such as "postmaster@example.com", or ""', _alone(postmaster))]
Moments = Annotated[
    tuple[float, ...],
    Kind(f'{_A_DURATION} (0: never), or a list of such, ["4h", "1d"]', _alone(_moments)),
]
ReportTo = Annotated[str, Kind('"postmaster", an address, or "none"', _alone(_report_to))]
Language = Annotated[str, Kind('a language such as "en" or "pt-br"', _alone(_language))]
Fingerprint = Annotated[
    str,
    Kind(
        '64 hexadecimal digits, with or without colons, or ""',
        _alone(lambda value: value and fingerprint(_text(value))),
    ),
]
ReplyCode = Annotated[
    str, Kind('a code such as "421", or its beginning, "4" or "42"', _alone(_matching(re.compile(r"[45]\d{0,2}\Z"))))
]
EnhancedPattern = Annotated[
    str,
    Kind(
        'an enhanced code such as "4.7.1", or its beginning, "4.7.*"',
        _alone(_matching(re.compile(r"[45]\.(?:\*|\d{1,3}\.(?:\*|\d{1,3}))\Z"))),
    ),
]
FieldName = Annotated[
    str, Kind('the name of a header field, such as "List-Id"', _alone(_matching(re.compile(r"[!-9;-~]{1,76}\Z"))))
]
Plugin = Annotated[str, Kind('the name of a shipped or installed one, or "module:object"', _alone(plugin))]
Label = Annotated[str, Kind("letters, digits, dots, dashes and underscores", _alone(label))]
