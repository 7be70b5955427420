"""What a record that was made elsewhere must be before it is one of ours.

Whoever wrote an archive wrote what stands in it, and everything behind the doors relies on what is checked at the
doors: addresses are addresses and hold no line end, times are times, the client is an address.
"""

import ipaddress
import re
from collections.abc import Iterator
from itertools import repeat

from relaygw.core.address import Address, AddressError, normalize_domain
from relaygw.core.outcome import Outcome
from relaygw.core.record import Intent, Record

_BREAK = re.compile("[\x00\r\n]")
_LATEST = 1e11
"""Seconds since 1970: some four thousand years from now, and still a date."""


def fault(record: Record, size: int) -> str:
    """Why a record with a content of this size cannot be taken in; "" where it can."""
    if record.size not in (0, size):
        return f"its content has {size} octets, and its record says {record.size}"
    if not all(0.0 <= moment <= _LATEST for moment in _moments(record)):  # false for what is no number, too
        return "its envelope has a time that is none"
    if any(map(_BREAK.search, _texts(record))):
        return "its envelope has a line end where a text belongs"
    if not all(map(_is_address, _addresses(record))):
        return "its envelope has an address that is none"
    if not all(map(_is_for_somebody, record.intents, repeat(len(record.recipients)))):
        return "its envelope has an order for a recipient it has not"
    if not _is_client(record.client):
        return "its envelope has a client that is no IP address"
    return ""


def _moments(record: Record) -> Iterator[float]:
    yield record.arrived
    for state in record.recipients:
        yield state.due
        yield state.warned or 0.0
        yield state.tried or 0.0


def _texts(record: Record) -> Iterator[str]:
    """What goes out in a command as it is. What is quoted there may be of any kind, as clients may quote anything, and
    so may the words of people and peers."""
    yield from (record.header_from, record.envelope.ret)
    for way in (*(state.detour for state in record.recipients), *(intent.to for intent in record.intents)):
        if way is not None:
            yield from (way.route, *way.hosts)


def _addresses(record: Record) -> Iterator[Address]:
    if record.envelope.sender is not None:
        yield record.envelope.sender
    yield from (recipient.address for recipient in record.envelope.recipients)
    yield from (state.address for state in record.recipients)
    yield from (last.recipient for last in _outcomes(record))


def _outcomes(record: Record) -> Iterator[Outcome]:
    return (state.last for state in record.recipients if state.last is not None)


def _is_address(address: Address) -> bool:
    try:
        return not _BREAK.search(address.local) and normalize_domain(address.domain) == address.domain
    except AddressError:
        return False


def _is_for_somebody(intent: Intent, recipients: int) -> bool:
    return bool(intent.positions) and all(0 <= at < recipients for at in intent.positions)


def _is_client(client: str) -> bool:
    try:
        return not client or bool(ipaddress.ip_address(client))
    except ValueError:
        return False
