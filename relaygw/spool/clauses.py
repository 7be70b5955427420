"""What must hold of the row of every record that an operator means, in SQL: what the database can tell of many rows in
little time, so that few are left to be read and judged.

Records are JSON texts of our own making (codec.py), so that it is known what must stand in the text. Where letters may
be capital or small, ASCII is compared without their case; a text with a backslash has something else in it, and is left
to be judged.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Network

from relaygw.core.client import Network
from relaygw.core.owner import owner_of_sender
from relaygw.core.patterns import Patterns
from relaygw.core.record import Origin
from relaygw.core.selection import Selection

MARGIN = 1.0
"""Seconds that an age may be off by: sums of times are rounded."""

MOST = 200
"""Patterns of which one may be in a text."""

Clause = tuple[str, tuple[object, ...]]

ORDERED = "instr(record, '\"intents\":') > 0"
"""Of what was ordered during an attempt."""

_ARRIVED = "CAST(substr(record, instr(record, '\"arrived\":') + 10, 24) AS REAL)"
_SIZE = "CAST(substr(record, instr(record, '\"size\":') + 7, 20) AS INTEGER)"  # the first is the message's
_ODD = "instr(record, '\\') > 0"
_IS_IPV6 = "instr(substr(record, instr(record, '\"client\":\"') + 10, 5), ':') > 0"


def clauses_of(selection: Selection, now: float) -> Iterator[Clause]:
    """All of them must hold."""
    yield from _of_origin(selection)
    yield from _of_addresses(selection)
    yield from _of_standing(selection)
    if selection.older_than is not None:
        yield f"{_ARRIVED} <= ?", (now - selection.older_than + MARGIN,)
    if selection.younger_than is not None:
        yield f"{_ARRIVED} >= ?", (now - selection.younger_than - MARGIN,)
    if selection.larger_than:
        yield f"{_SIZE} > ?", (selection.larger_than,)
    if selection.smaller_than:
        yield f"{_SIZE} < ?", (selection.smaller_than,)


def _of_origin(selection: Selection) -> Iterator[Clause]:
    """Who sent it, and how."""
    if selection.logins and "" not in selection.logins:
        yield _owned_by(sorted(selection.logins))
    if selection.sender is not None and _names_all(selection.sender):
        clause, owners = _owned_by(sorted({_owner(key) for key in selection.sender.addresses}))
        yield f"({clause} OR instr(record, ?) > 0)", (*owners, '"login":')
    if selection.clients:
        yield _any(_client(network) for network in selection.clients)
    if selection.listeners and "" not in selection.listeners:
        yield _has_one_of(f'"listener":{json.dumps(listener)}' for listener in sorted(selection.listeners))
    if selection.findings:
        yield _has_one_of(json.dumps(finding) for finding in sorted(selection.findings))
    if selection.origin is not None and selection.origin is not Origin.RECEIVED:
        yield _has_one_of([f'"origin":"{selection.origin.value}"'])


def _of_addresses(selection: Selection) -> Iterator[Clause]:
    for patterns in (selection.sender, selection.recipient):
        if patterns is not None:
            yield _any(_addresses(patterns))
    if selection.header_from is not None:
        domains = [f'"header_from":{json.dumps(domain)}' for domain in sorted(selection.header_from.domains)]
        suffixes = [f'{json.dumps(suffix)[1:-1]}"' for suffix in selection.header_from.suffixes]
        yield _has_one_of(domains + suffixes)
    if selection.destinations and selection.sources is not None and _are_few(selection.sources):
        tried = (_has(f'"host":{json.dumps(name)}') for name in sorted(selection.destinations))
        yield _any([*_addresses(selection.sources), *tried, _has('"detour":')])
    if selection.message_id:
        yield _has_one_of([json.dumps(selection.message_id)])


def _of_standing(selection: Selection) -> Iterator[Clause]:
    """What has become of it."""
    if selection.held is not None:
        yield (f"(due = 9e999 OR {ORDERED})" if selection.held else "due < 9e999"), ()
    if selection.held_for:
        yield from _says([selection.held_for])
    if selection.quarantined:
        yield _has_one_of(['"quarantined":true'])
    if selection.min_attempts:
        yield _has_one_of(['"attempts":'])
    if selection.reply:  # between code and text there is more than a blank
        yield from _says(selection.reply.split(" "))


def _says(words: Iterable[str]) -> Iterator[Clause]:
    for word in words:
        if word and word.isascii() and word.isprintable() and not {'"', "\\"} & set(word):
            yield f"(instr(lower(record), ?) > 0 OR {_ODD})", (word.lower(),)


def _owned_by(owners: Sequence[str]) -> Clause:
    return f"owner IN ({', '.join('?' * len(owners))})", tuple(owners)


def _owner(key: str) -> str:
    """Who owns what came from an address, unless somebody had logged in."""
    local, _, domain = key.rpartition("@")
    return owner_of_sender(local, domain)


def _names_all(patterns: Patterns) -> bool:
    """Whether they are addresses and nothing else."""
    return bool(patterns.addresses) and not (patterns.domains or patterns.suffixes or patterns.null)


def _are_few(patterns: Patterns) -> bool:
    """A provider may have more domains than SQLite looks for at once."""
    return len(patterns.addresses) + len(patterns.domains) + len(patterns.suffixes) <= MOST


def _any(clauses: Iterable[Clause]) -> Clause:
    """One of them must hold; where there is none, nothing does."""
    found = list(clauses)
    if not found:
        return "0", ()
    return f"({' OR '.join(clause for clause, _ in found)})", tuple(value for _, values in found for value in values)


def _has(needle: str) -> Clause:
    return "instr(record, ?) > 0", (needle,)


def _has_one_of(needles: Iterable[str]) -> Clause:
    return _any(map(_has, needles))


def _addresses(patterns: Patterns) -> Iterator[Clause]:
    """Addresses stand in a record as ["local","domain"], and the null reverse-path as null."""
    for key in sorted(patterns.addresses):
        local, _, domain = key.rpartition("@")
        if key.isascii():
            yield "instr(lower(record), ?) > 0", (json.dumps([local, domain], separators=(",", ":")),)
        else:
            yield _has(f",{json.dumps(domain)}]")
    if patterns.addresses:
        yield _ODD, ()
    yield from (_has(f",{json.dumps(domain)}]") for domain in sorted(patterns.domains))
    yield from (_has(f'{json.dumps(suffix)[1:-1]}"]') for suffix in patterns.suffixes)
    if patterns.null:
        yield _has('"sender":null')


def _client(network: Network) -> Clause:
    """Of an IPv4 network the octets that are whole. Other texts than that may stand for an IPv4 client, too."""
    if not isinstance(network, IPv4Network):
        return _IS_IPV6, ()
    octets = str(network.network_address).split(".")[: network.prefixlen // 8]
    needle = '"client":"' + (".".join(octets) + '"' if len(octets) == 4 else "".join(f"{each}." for each in octets))
    return f"(instr(record, ?) > 0 OR {_IS_IPV6})", (needle,)
