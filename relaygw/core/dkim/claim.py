"""What a DKIM-Signature field says (RFC 6376 3.5), read strictly: a Claim, or Unreadable with the reason.

Domains and selectors may be U-labels (RFC 8616 4); a Claim has A-labels. ARC's signature fields are made of the same
tags and are read with the same `Reader`.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

import attrs

from relaygw.core.address import AddressError, normalize_domain
from relaygw.core.dkim.finding import Result
from relaygw.core.question import Question
from relaygw.core.tags import TagError, compact, decode_base64, parse_tags, words

FIELD = b"dkim-signature"
ALGORITHMS = ("rsa-sha256", "ed25519-sha256", "rsa-sha1")
MAX_NAMES = 1000
"""Fields that one signature may name."""

_FORMS = frozenset({"simple", "relaxed"})
_DIGITS = re.compile(r"[0-9]{1,76}\Z")  # RFC 6376 3.5: l=
_SIGNATURE = re.compile(rb"(?:\A|;)[ \t\r\n]*+b[ \t\r\n]*+=([^;]*)")
_FIELD_NAME = re.compile(r"[!-9<-~]+\Z")  # RFC 5322 2.2, without the semicolon that ends the tag
_AGE_LIMIT = 10**12  # RFC 6376 3.5: t= and x= have at most 12 digits


class Unreadable(Exception):
    """The signature cannot be judged; what could be read of its d= and s= is told."""

    def __init__(self, reason: str, result: Result = Result.NEUTRAL, domain: str = "", selector: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.result = result
        self.domain = domain
        self.selector = selector


def _question(terms: "Terms") -> Question:
    return Question(f"{terms.selector}._domainkey.{terms.domain}", "TXT")


@attrs.frozen(kw_only=True, eq=False)
class Terms:
    """What a signer says in every signature. `head_form` and `body_form` are "simple" or "relaxed"; `names` are lower
    case.

    `identity` is i= as given, or ""; `identity_domain` its domain, or that of d=. `question` is where the key is
    published (RFC 6376 3.6.2.1).
    """

    algorithm: str
    head_form: str
    body_form: str
    domain: str
    selector: str
    names: tuple[bytes, ...]
    identity: str = ""
    identity_domain: str = ""
    key_type: str = attrs.field(
        init=False, default=attrs.Factory(lambda self: self.algorithm.partition("-")[0], takes_self=True)
    )
    question: Question = attrs.field(init=False, default=attrs.Factory(_question, takes_self=True))


@attrs.frozen(kw_only=True, eq=False)
class Claim:
    """One signature; `raw` is the whole field."""

    raw: bytes
    terms: Terms
    signature: bytes
    body_hash: bytes
    length: int | None = None
    signed_at: int | None = None
    expires: int | None = None


class Reader:
    """The tags of one signature field; every method raises Unreadable."""

    def __init__(self, tags: Mapping[str, str]) -> None:
        self._tags = tags

    @classmethod
    def of(cls, field: bytes) -> "Reader":
        try:
            return cls(parse_tags(field[field.index(b":") + 1 :].decode("utf-8")))
        except UnicodeDecodeError:
            raise cls({}).unreadable("not UTF-8") from None
        except TagError as error:
            raise cls({}).unreadable(str(error)) from None

    def unreadable(self, reason: str, result: Result = Result.NEUTRAL) -> Unreadable:
        return Unreadable(reason, result, self._shown("d"), self._shown("s"))

    def _shown(self, name: str) -> str:
        """A domain as far as it is one, for the report."""
        try:
            return normalize_domain(self._tags.get(name, ""))
        except AddressError:
            return ""

    def get(self, name: str) -> str | None:
        return self._tags.get(name)

    def need(self, name: str) -> str:
        value = self._tags.get(name)
        if not value:
            raise self.unreadable(f"the tag {name}= is missing")
        return value

    def base64(self, name: str) -> bytes:
        try:
            return decode_base64(self.need(name))
        except TagError as error:
            raise self.unreadable(f"{name}= is {error}") from None

    def domain(self, name: str) -> str:
        value = self.need(name)
        try:
            found = normalize_domain(value)
        except AddressError as error:
            raise self.unreadable(f"{name}={value[:80]}: {error}") from None
        if found.startswith("["):
            raise self.unreadable(f"{name}= is an address")
        return found

    def signing_domain(self) -> str:
        """d=, with at least two labels: a top-level domain signs for nobody (RFC 6376 6.1.1)."""
        found = self.domain("d")
        if "." not in found:
            raise self.unreadable(f"d={found} is not below any domain")
        return found

    def algorithm(self) -> str:
        found = self.need("a").lower()
        if found not in ALGORITHMS:
            raise self.unreadable(f"the algorithm {found[:40]!r} is not known")
        return found

    def forms(self) -> tuple[str, str]:
        """c=: of the header and of the body, each "simple" where it is not said."""
        head, slash, body = self._tags.get("c", "simple").lower().partition("/")
        body = body if slash else "simple"
        if head not in _FORMS or body not in _FORMS:
            raise self.unreadable(f"the canonical form {head[:20]}/{body[:20]} is not known")
        return head, body

    def names(self) -> tuple[bytes, ...]:
        """h=, lower case."""
        listed = self.need("h")
        found = (_field_names if len(listed) <= _OFTEN else _field_names.__wrapped__)(listed)
        if not found:
            raise self.unreadable("h= is no list of field names")
        if b"from" not in found:  # RFC 6376 5.4
            raise self.unreadable("From is not signed", Result.PERMERROR)
        return found

    def number(self, name: str) -> int | None:
        value = self._tags.get(name)
        if value is None:
            return None
        if not _DIGITS.match(value):
            raise self.unreadable(f"{name}= is no number")
        return int(value)

    def time(self, name: str) -> int | None:
        """Seconds since the epoch; what has more than 12 digits counts as for ever (RFC 6376 3.5)."""
        found = self.number(name)
        return None if found is None or found >= _AGE_LIMIT else found


@lru_cache(maxsize=256)
def _field_names(text: str) -> tuple[bytes, ...]:
    """The names of h= in lower case, () where it is no list of names. One signer's are the same every time."""
    found = words(text.lower())
    if len(found) > MAX_NAMES or not all(map(_FIELD_NAME.match, found)):
        return ()
    return tuple(name.encode("ascii") for name in found)


def read_claim(field: bytes) -> Claim:
    """The claim of a whole DKIM-Signature field; raises Unreadable (RFC 6376 6.1.1)."""
    reader = Reader.of(field)
    read = _known_terms if len(field) <= _OFTEN else _known_terms.__wrapped__  # long ones would fill the memory
    terms = read(tuple(map(reader.get, _SAME_EVERY_TIME)))
    signed_at, expires = reader.time("t"), reader.time("x")
    if signed_at is not None and expires is not None and expires <= signed_at:
        raise reader.unreadable("it expires before it was made")
    return Claim(
        raw=field,
        terms=terms,
        signature=reader.base64("b"),
        body_hash=reader.base64("bh"),
        length=reader.number("l"),
        signed_at=signed_at,
        expires=expires,
    )


_OFTEN = 8192
"""Octets of a field that is of ordinary length."""

_SAME_EVERY_TIME = ("v", "a", "c", "d", "h", "i", "q", "s")


@lru_cache(maxsize=512)
def _known_terms(values: tuple[str | None, ...]) -> Terms:
    """One signer's are the same in all its signatures; raises Unreadable."""
    tags = zip(_SAME_EVERY_TIME, values, strict=True)
    return _read_terms(Reader({name: value for name, value in tags if value is not None}))


def _read_terms(reader: "Reader") -> Terms:
    if reader.need("v") != "1":
        raise reader.unreadable("the version is not 1")
    domain = reader.signing_domain()
    head_form, body_form = reader.forms()
    queries = reader.get("q")
    if queries is not None and "dns/txt" not in words(queries.lower()):
        raise reader.unreadable("no query method that is known")
    return Terms(
        algorithm=reader.algorithm(),
        head_form=head_form,
        body_form=body_form,
        domain=domain,
        selector=reader.domain("s"),
        names=reader.names(),
        identity=compact(reader.get("i") or ""),
        identity_domain=_identity_domain(reader, domain),
    )


def _identity_domain(reader: Reader, domain: str) -> str:
    """The domain of i=, which is d= or below it (RFC 6376 3.5)."""
    identity = reader.get("i")
    if identity is None:
        return domain
    _, at, name = compact(identity).rpartition("@")
    try:
        found = normalize_domain(name) if at else ""
    except AddressError:
        found = ""
    if not found:
        raise reader.unreadable("i= is no address")
    if found != domain and not found.endswith("." + domain):
        raise reader.unreadable(f"i= is not in {domain}", Result.PERMERROR)
    return found


def without_signature(raw: bytes) -> bytes:
    """The field as it was signed: the value of b= taken out, and no line end (RFC 6376 3.7)."""
    colon = raw.index(b":") + 1
    value = raw[colon:]
    found = _SIGNATURE.search(value)
    if found is not None:
        start, end = found.span(1)
        value = value[:start] + value[end:]
    return raw[:colon] + value.rstrip(b"\r\n")
