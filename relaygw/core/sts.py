"""MTA-STS (RFC 8461): the record that announces a policy, the policy itself, and what it allows. Pure.

A text is a value or one StsError. Who fetches policies and keeps them is none of this module's business.
"""

import enum
import re
from collections.abc import Iterable

import attrs

MAX_POLICY = 64 * 1024
"""Octets of a policy that are read (RFC 8461 3.3 leaves the number to us)."""

MAX_AGE = 31_557_600
"""Seconds: about a year, the longest a policy may ask to be kept (RFC 8461 3.2)."""

MAX_PATTERNS = 100

_RECORD = re.compile(
    rb"v=STSv1((?:[ \t]*+;[ \t]*+[A-Za-z0-9][A-Za-z0-9_.-]{0,31}=[\x21-\x3a\x3c\x3e-\x7e]++)+)[ \t]*+;?[ \t]*+\Z"
)
_ID = re.compile(rb";[ \t]*id=([A-Za-z0-9]{1,32})(?=[ \t]*(?:;|\Z))")
_FIELD = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,31}):(.*)\Z")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_PATTERN = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})+\Z")


class StsError(ValueError):
    """The text is no policy; the message says why."""


class Mode(enum.Enum):
    ENFORCE = "enforce"
    TESTING = "testing"
    NONE = "none"


@attrs.frozen(kw_only=True)
class StsPolicy:
    """`mx` are patterns in lower case, `max_age` seconds."""

    mode: Mode
    mx: tuple[str, ...]
    max_age: int

    def allows(self, host: str) -> bool:
        """Whether mail may go to this host: a wildcard stands for exactly one label (RFC 8461 4.1)."""
        name = host.lower().removesuffix(".")
        return name in self.mx or "*." + name.partition(".")[2] in self.mx

    def lines(self) -> tuple[str, ...]:
        """As reports and files have it."""
        patterns = (f"mx: {pattern}" for pattern in self.mx)
        return ("version: STSv1", f"mode: {self.mode.value}", *patterns, f"max_age: {self.max_age}")


@attrs.frozen(kw_only=True)
class KeptPolicy:
    """A policy fetched at a time (POSIX seconds), announced under `id`."""

    id: str
    policy: StsPolicy
    fetched: float

    def valid(self, now: float) -> bool:
        return self.fetched <= now < self.fetched + self.policy.max_age

    def ageing(self, now: float) -> bool:
        """Whether it is time to fetch it again, long before it ends (RFC 8461 3.3)."""
        return now - self.fetched > min(86_400.0, self.policy.max_age / 2)


def record_id(texts: Iterable[object]) -> str:
    """The id in the TXT records at `_mta-sts.DOMAIN`; "" where they announce nothing (RFC 8461 3.1)."""
    ours = [text for text in texts if isinstance(text, bytes) and re.match(rb"v=STSv1[ \t]*(?:;|\Z)", text)]
    if len(ours) != 1 or not (match := _RECORD.match(ours[0])):
        return ""
    ids = _ID.findall(match[1])
    return ids[0].decode("ascii") if len(ids) == 1 else ""


def parse_policy(body: bytes) -> StsPolicy:
    """The policy in a file; raises StsError. Unknown fields are passed over, of repeated ones the first counts."""
    fields: dict[str, str] = {}
    patterns: list[str] = []
    for name, value in _fields(body):
        if name == "mx":
            patterns.append(_pattern(value))
        else:
            fields.setdefault(name, value)
    if fields.get("version") != "STSv1":
        raise StsError("the version is not STSv1")
    mode = _mode(fields.get("mode", ""))
    if not patterns and mode is not Mode.NONE:
        raise StsError("it names no mx")
    if len(patterns) > MAX_PATTERNS:
        raise StsError(f"it names more than {MAX_PATTERNS} mx")
    return StsPolicy(mode=mode, mx=tuple(dict.fromkeys(patterns)), max_age=_age(fields.get("max_age", "")))


def _fields(body: bytes) -> Iterable[tuple[str, str]]:
    if len(body) > MAX_POLICY:
        raise StsError(f"it is longer than {MAX_POLICY} octets")
    try:
        lines = body.decode("utf-8").replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError:
        raise StsError("it is not UTF-8") from None
    while lines and not lines[-1].strip(" \t"):
        lines.pop()
    for number, line in enumerate(lines, 1):
        match = _FIELD.match(line)
        if match is None:
            raise StsError(f"line {number} is no field")
        yield match[1], match[2].strip(" \t")


def _mode(word: str) -> Mode:
    try:
        return Mode(word)
    except ValueError:
        raise StsError("the mode is none of enforce, testing, none") from None


def _pattern(text: str) -> str:
    pattern = text.lower().removesuffix(".")
    if not _PATTERN.match(pattern):
        raise StsError("an mx is no domain name")
    return pattern


def _age(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise StsError("max_age is no number of seconds")
    return min(int(text), MAX_AGE)
