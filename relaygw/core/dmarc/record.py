"""What a DMARC policy record says (RFC 9989 4.7, 4.8).

Only its beginning decides whether a text is one; beyond that nothing is an error: what cannot be read counts as not
said, and what is not known is passed over (pct=, rf= and ri= of RFC 7489 are not known any more).
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

import attrs

from relaygw.core.words import Word

MAX_RECORD = 8 * 1024
"""Octets of a record that are read."""


class Policy(Word):
    """What a domain's owner asks for (RFC 9989 4.7, p=)."""

    NONE = "none"
    QUARANTINE = "quarantine"
    REJECT = "reject"

    @property
    def milder(self) -> "Policy":
        """One level below: what t=y asks for (RFC 9989 4.7)."""
        return Policy.QUARANTINE if self is Policy.REJECT else Policy.NONE


class Suffix(Word):
    """Whether others register names below a domain (psd=)."""

    YES = "y"
    NO = "n"
    UNKNOWN = "u"


@attrs.frozen(kw_only=True)
class Record:
    """`policy`, `subdomains` (sp=) and `absent` (np=) are None where not said, or not said well; then `flaw` tells.

    `reports` and `failure_reports` are the URIs of rua= and ruf=, without the size that RFC 7489 allowed after them.
    """

    text: str
    policy: Policy | None = None
    subdomains: Policy | None = None
    absent: Policy | None = None
    suffix: Suffix = Suffix.UNKNOWN
    testing: bool = False
    strict_dkim: bool = False
    strict_spf: bool = False
    reports: tuple[str, ...] = ()
    failure_reports: tuple[str, ...] = ()
    failure_options: tuple[str, ...] = ("0",)
    flaw: str = ""


_VERSION = re.compile(rb"[ \t]*v[ \t]*=[ \t]*DMARC1[ \t]*(?:;|\Z)", re.IGNORECASE)
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+\Z")  # RFC 3986 3.1, coarsely
_OPTIONS = frozenset("01ds")


def is_record(text: bytes) -> bool:
    """Whether a TXT record is one of DMARC: v= comes first, and its value is exactly DMARC1."""
    found = _VERSION.match(text)
    return found is not None and b"DMARC1" in found[0]


def read_record(octets: bytes) -> Record:
    """What a text for which `is_record` holds says."""
    return _read_often(octets) if len(octets) <= _OFTEN else _read(octets)


def _read(octets: bytes) -> Record:
    text = octets[:MAX_RECORD].decode("utf-8", "replace")
    tags = tags_of(text)
    return Record(
        text=text,
        policy=_policy(tags, "p"),
        subdomains=_policy(tags, "sp"),
        absent=_policy(tags, "np"),
        suffix=next((each for each in Suffix if each.value == tags.get("psd", "").lower()), Suffix.UNKNOWN),
        testing=tags.get("t", "").lower() == "y",
        strict_dkim=tags.get("adkim", "").lower() == "s",
        strict_spf=tags.get("aspf", "").lower() == "s",
        reports=_uris(tags.get("rua", "")),
        failure_reports=_uris(tags.get("ruf", "")),
        failure_options=_options(tags.get("fo", "")),
        flaw=_flaw(tags),
    )


_OFTEN = 1024
_read_often = lru_cache(maxsize=1024)(_read)
"""Records of ordinary length are remembered; long ones would fill the memory."""


def tags_of(text: str) -> dict[str, str]:
    """The tags that can be read, the first of each name, which is in lower case."""
    tags: dict[str, str] = {}
    for spec in text.split(";"):
        name, equals, value = spec.partition("=")
        name = name.strip().lower()
        if equals and name.isascii() and name.isalpha():
            tags.setdefault(name, value.strip())
    return tags


def _policy(tags: Mapping[str, str], name: str) -> Policy | None:
    value = tags.get(name, "").lower()
    return next((policy for policy in Policy if policy.value == value), None)


def _flaw(tags: Mapping[str, str]) -> str:
    """Why the policies cannot be taken as they stand (RFC 9989 4.10.1)."""
    if "p" not in tags:
        return "p= is missing"
    wrong = [name for name in ("p", "sp", "np") if name in tags and _policy(tags, name) is None]
    return f"{wrong[0]}={tags[wrong[0]][:40]} is no policy" if wrong else ""


def _uris(text: str) -> tuple[str, ...]:
    """The URIs of a list that are well formed; an address needs its @ (RFC 6068)."""
    found: Iterable[str] = (each.strip().partition("!")[0] for each in text.split(","))
    return tuple(uri for uri in found if _URI.match(uri) and ("@" in uri or not uri.lower().startswith("mailto:")))


def _options(text: str) -> tuple[str, ...]:
    found = tuple(each for each in text.replace(" ", "").lower().split(":") if each in _OPTIONS)
    return found or ("0",)
