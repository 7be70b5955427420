"""Mail addresses: the value, and the grammar of paths in MAIL and RCPT (RFC 5321 4.1.2, RFC 6531 3.3).

An Address holds only valid data: the local part without quoting, the domain in lower case as A-labels
or an address literal in brackets. Anything else is one AddressError.
"""

import ipaddress
import re

import attrs
import idna

MAX_LOCAL = 64  # RFC 5321 4.5.3.1.1
MAX_DOMAIN = 255  # RFC 5321 4.5.3.1.2
MAX_PATH = 256  # RFC 5321 4.5.3.1.3, brackets included

MAX_LABELS = 31
"""Labels of a name that is not all ASCII: an A-label has seven octets at least, and no more of them fit into a name. To
make one takes time."""

_RETURNS = ("SRS0", "SRS1")
"""Beginnings of return addresses (relaygw.core.srs): they carry a whole address, and may be as long as a path."""

_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u0080-\U0010ffff-]"
_DOT_STRING = re.compile(rf"{_ATEXT}+(?:\.{_ATEXT}+)*\Z")
_QUOTED = re.compile(r'"(?:[\x20-\x21\x23-\x5b\x5d-\x7e\u0080-\U0010ffff]|\\[\x20-\x7e])*"')
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\Z")
_DOT = re.compile("[.\u3002\uff0e\uff61]")  # RFC 3490 3.1


class AddressError(ValueError):
    """The text is not an address; the message says what is wrong with it."""


@attrs.frozen
class Address:
    """One mailbox name. `local` is the unquoted local part; `domain` is lower case A-labels or `[literal]`."""

    local: str
    domain: str
    _text: str = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_text", f"{quote_local(self.local)}@{self.domain}")

    def __str__(self) -> str:
        """As it stands between the angle brackets of a path: the local part quoted where it must be."""
        return self._text

    @property
    def ascii(self) -> bool:
        """Whether the address can travel without SMTPUTF8."""
        return self.local.isascii()

    @property
    def is_literal(self) -> bool:
        return self.domain.startswith("[")


def quote_local(local: str) -> str:
    """The local part as a Dot-string where possible, otherwise as a Quoted-string."""
    if _DOT_STRING.match(local):
        return local
    return '"' + re.sub(r'([\\"])', r"\\\1", local) + '"'


def normalize_domain(domain: str) -> str:
    """The domain in lower case A-labels (RFC 5890), or the canonical `[literal]`; raises AddressError."""
    if domain.startswith("["):
        return _literal(domain)
    lowered = domain.lower()
    if not lowered.isascii():
        if label_count(lowered) > MAX_LABELS:
            raise AddressError(f"a name with more than {MAX_LABELS} labels that is not all ASCII")
        try:
            lowered = idna.encode(lowered, uts46=True).decode("ascii")
        except idna.IDNAError as error:
            raise AddressError(f"not a domain name: {error}") from None
    if not lowered or len(lowered) > MAX_DOMAIN:
        raise AddressError("the domain is empty or longer than 255 octets")
    if _DOMAIN.match(lowered) is None:
        raise AddressError("not a domain name")
    return lowered


def label_count(domain: str) -> int:
    """How many labels a name has, whatever looks like a dot between them."""
    return len(_DOT.findall(domain)) + 1


def _literal(domain: str) -> str:
    """RFC 5321 4.1.3: [192.0.2.1] or [IPv6:2001:db8::1]."""
    inner = domain[1:-1] if domain.endswith("]") else ""
    if "%" in inner:  # a zone (RFC 4007 11) is no part of the grammar, and ipaddress takes any characters as one
        raise AddressError("not an address literal")
    try:
        if inner[:5].lower() == "ipv6:":
            return f"[IPv6:{ipaddress.IPv6Address(inner[5:])}]"
        return f"[{ipaddress.IPv4Address(inner)}]"
    except ValueError:
        raise AddressError("not an address literal") from None


def parse_address(text: str) -> Address:
    """`local@domain` with nothing around it; raises AddressError."""
    if len(text.encode("utf-8", "replace")) > MAX_PATH - 2:
        raise AddressError("the address is longer than 254 octets")
    local, rest = _take_local(text)
    if not rest.startswith("@"):
        raise AddressError("there is no @ after the local part")
    if len(local.encode("utf-8", "replace")) > MAX_LOCAL and local[:4].upper() not in _RETURNS:
        raise AddressError("the local part is longer than 64 octets")
    address = Address(local, normalize_domain(rest[1:]))
    # A domain can grow when it is written in A-labels.
    if len(address.domain) > len(rest) - 1 and len(str(address).encode("utf-8", "replace")) > MAX_PATH - 2:
        raise AddressError("the address is longer than 254 octets once its domain is written in ASCII")
    return address


def _take_local(text: str) -> tuple[str, str]:
    if text.startswith('"'):
        quoted = _QUOTED.match(text)
        if quoted is None:
            raise AddressError("the quoted local part is not well formed")
        return re.sub(r"\\(.)", r"\1", quoted[0][1:-1]), text[quoted.end() :]
    local, at, rest = text.partition("@")
    if not _DOT_STRING.match(local):
        raise AddressError("the local part is not a dot-string")
    return local, at + rest
