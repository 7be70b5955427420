"""What may be wrong with the name a client gives in EHLO or HELO, as far as the name and the client's address tell.

RFC 5321 4.1.4 forbids to refuse mail because the name does not prove right; claiming to be us is another matter: no
honest client does.
"""

import enum
import ipaddress
import re
from collections.abc import Collection

from relaygw.core.address import AddressError, normalize_domain
from relaygw.core.client import IPAddress

_HOST_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\Z")


class Flaw(enum.Enum):
    """In the order in which they are looked for."""

    OWN_NAME = "own_name"
    """Our own host name or address, said by somebody else."""
    OWN_DOMAIN = "own_domain"
    """The very name of one of our domains, said by somebody else."""
    BARE_ADDRESS = "bare_address"
    """An address without the brackets of a literal (RFC 5321 4.1.3)."""
    WRONG_LITERAL = "wrong_literal"
    """A literal of another address than the client's."""
    SYNTAX = "syntax"
    """Neither an address literal nor a host name with a dot in it (RFC 5321 2.3.5)."""
    UNRESOLVABLE = "unresolvable"
    """A name of which the DNS knows neither an address nor a mail exchanger."""


def hello_flaw(
    hello: str, client: IPAddress, own_names: Collection[str], own_domains: Collection[str]
) -> tuple[Flaw | None, str]:
    """What is wrong with the name, and the name to look up where nothing is; "" where there is none to look up.

    `own_names` holds host names in lower case and addresses in canonical text, `own_domains` domains in lower case.
    UNRESOLVABLE is for whoever asks the DNS.
    """
    bare = _address(hello)
    if bare is not None:
        return (Flaw.OWN_NAME if str(bare) in own_names else Flaw.BARE_ADDRESS), ""
    try:
        name = normalize_domain(hello.removesuffix("."))
    except AddressError:
        return Flaw.SYNTAX, ""
    if name.startswith("["):
        return _literal_flaw(name, client, own_names), ""
    if name in own_names:
        return Flaw.OWN_NAME, ""
    if name in own_domains:
        return Flaw.OWN_DOMAIN, ""
    if "." not in name or not all(map(_HOST_LABEL.match, name.split("."))):
        return Flaw.SYNTAX, ""
    return None, name


def _literal_flaw(literal: str, client: IPAddress, own_names: Collection[str]) -> Flaw | None:
    address = _address(literal[1:-1].removeprefix("IPv6:"))
    if str(address) in own_names:
        return Flaw.OWN_NAME
    return None if address == client else Flaw.WRONG_LITERAL


def _address(text: str) -> IPAddress | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
