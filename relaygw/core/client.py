"""The client's address as a value, the block of addresses it stands for, and whether it is one the world can see."""

import functools
import ipaddress
from collections.abc import Callable, Collection

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

BLOCK4, BLOCK6 = 24, 64
"""Prefixes of what one hand usually holds: a sender's pool of IPv4 hosts, one customer's IPv6 network."""

_INSIDE: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "127.0.0.0/8",  # RFC 1918, 3927, 1122
        "::1/128", "fc00::/7", "fe80::/10",  # RFC 4291, 4193
    )
)  # fmt: skip


@functools.lru_cache(maxsize=4096)
def parse_client(text: str) -> IPAddress | None:
    """The address of a session's client; None on a UNIX socket. An IPv4-mapped IPv6 address is an IPv4 address.

    A zone (RFC 4007 11) is a matter of this host's alone, and no part of the address that others know.
    """
    if not text:
        return None
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped or ipaddress.IPv6Address(int(address))
    return address


@functools.lru_cache(maxsize=4096)
def block_of(client: IPAddress) -> str:
    """The block around a client in CIDR form: its /24, or its /64 for IPv6."""
    prefix = BLOCK4 if client.version == 4 else BLOCK6
    return str(ipaddress.ip_network((client, prefix), strict=False))


def is_inside(client: IPAddress) -> bool:
    """Whether the address is a private one, of which the public DNS knows nothing."""
    return is_in(client, _INSIDE)


def among(networks: Collection[Network]) -> Callable[[str], bool]:
    """Whether a session's client is in one of the networks; remembered, as the same ones come again and again."""
    if not networks:
        return _nobody

    @functools.lru_cache(maxsize=4096)
    def is_among(text: str) -> bool:
        client = parse_client(text)
        return client is not None and is_in(client, networks)

    return is_among


def _nobody(text: str) -> bool:
    return False


def is_in(client: IPAddress, networks: Collection[Network]) -> bool:
    """Whether the client is in one of the networks."""
    return any(client in network for network in networks)
