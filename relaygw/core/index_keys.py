"""Under which keys a record stands in an index of the queue, and under which of them a selection looks.

A key is made of what never changes in a record's life, so that it is written once: whatever becomes of the message,
what a selection means is among what its keys find, and is judged afterwards. A condition on anything else has no keys.
Pure.
"""

from collections.abc import Iterator
from functools import lru_cache

from relaygw.core.client import BLOCK4, BLOCK6, IPAddress, Network, parse_client
from relaygw.core.patterns import Patterns
from relaygw.core.record import Origin, Record
from relaygw.core.selection import Selection

VERSION = 1
"""Of the keys: an index of other ones is made anew."""

LABELS = 6
"""Of a domain so many labels, from the right, are keys of the domains above it."""


def keys_of(record: Record) -> set[str]:
    """All keys of a record. Its recipients are there whether they wait or not: a removal may be undone."""
    keys = {f"l{record.login}", f"n{record.listener}", _ORIGINS[record.origin]}
    sender = record.envelope.sender
    if sender is None:
        keys.add("s")
    else:
        keys.add(f"s{sender.local.casefold()}@{sender.domain}")
        keys.update(_of_domain("s", sender.domain))
    for state in record.recipients:
        address = state.recipient.address
        keys.add(f"r{address.local.casefold()}@{address.domain}")
        keys.update(_of_domain("r", address.domain))
    if record.client:
        keys.update(_of_client(record.client))
    if record.header_from:
        keys.update(_of_domain("f", record.header_from))
    if record.message_id:
        keys.add(f"i{record.message_id}")
    if record.quarantined:
        keys.add("q")
    for finding in record.findings:
        keys.add(f"v{finding}")
    return keys


_ORIGINS = {origin: f"o{origin.value}" for origin in Origin}


@lru_cache(maxsize=4096)
def _of_domain(kind: str, domain: str) -> tuple[str, ...]:
    """The domain, and each suffix a pattern such as ".example.com" may have, as far as they are told apart."""
    keys = [f"{kind}@{domain}"]
    suffix = ""
    for label in reversed(domain.rsplit(".", LABELS)[1:]):
        suffix = f".{label}{suffix}"
        keys.append(kind + suffix)
    return tuple(keys)


@lru_cache(maxsize=4096)
def _of_client(text: str) -> tuple[str, ...]:
    try:
        client = parse_client(text)
    except ValueError:  # what is no address is in no network
        return ()
    return () if client is None else (_client(client), _block(client))


def _client(client: IPAddress) -> str:
    return f"c{int(client):x}"


def _block(client: IPAddress) -> str:
    """The block around it that one hand usually holds."""
    prefix = BLOCK4 if client.version == 4 else BLOCK6
    return f"c{int(client) >> (client.max_prefixlen - prefix):x}/{prefix}"


def conditions_of(selection: Selection) -> list[frozenset[str]]:
    """For each condition that has keys, those of which every record that is meant has at least one."""
    return [frozenset(keys) for keys in _conditions(selection) if keys is not None]


def _conditions(selection: Selection) -> Iterator[set[str] | None]:
    if selection.sender is not None:
        yield _of_patterns("s", selection.sender) | ({"s"} if selection.sender.null else set())
    if selection.recipient is not None:
        yield _of_patterns("r", selection.recipient)
    if selection.header_from is not None:
        yield _of_domain_patterns("f", selection.header_from)
    if selection.logins:
        yield {f"l{login}" for login in selection.logins}
    if selection.listeners:
        yield {f"n{listener}" for listener in selection.listeners}
    if selection.clients:
        yield _of_networks(selection.clients)
    if selection.message_id:
        yield {f"i{selection.message_id}"}
    if selection.findings:
        yield {f"v{finding}" for finding in selection.findings}
    if selection.quarantined:
        yield {"q"}
    if selection.origin is not None and selection.origin is not Origin.RECEIVED:  # as nearly all are
        yield {f"o{selection.origin.value}"}


def _of_patterns(kind: str, patterns: Patterns) -> set[str]:
    return {kind + address for address in patterns.addresses} | _of_domain_patterns(kind, patterns)


def _of_domain_patterns(kind: str, patterns: Patterns) -> set[str]:
    keys = {f"{kind}@{domain}" for domain in patterns.domains}
    for suffix in patterns.suffixes:
        keys.add(kind + "".join(f".{label}" for label in suffix[1:].split(".")[-LABELS:]))
    return keys


def _of_networks(networks: tuple[Network, ...]) -> set[str] | None:
    """None where one of them is wider than what clients stand under."""
    keys = set()
    for network in networks:
        client = network.network_address
        if network.prefixlen < (BLOCK4 if client.version == 4 else BLOCK6):
            return None
        keys.add(_client(client) if network.prefixlen == network.max_prefixlen else _block(client))
    return keys
