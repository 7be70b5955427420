"""What operators are told of addresses: tables looked up, aliases expanded and messages rewritten as the gateway would,
without a message. It works on the parts that the service uses, or on those that a command has borrowed.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import attrs

from relaygw.aliases import Aliases
from relaygw.bridge import resolve
from relaygw.config.schema import Config, RewriterConfig
from relaygw.core.address import Address
from relaygw.core.alias_targets import TargetError, key_of
from relaygw.core.aliasing import UNKNOWN, Expansion, Final
from relaygw.core.content import BytesContent
from relaygw.core.envelope import Envelope, path
from relaygw.core.record import Record, Route
from relaygw.egress.outgoing import STAYS, Outgoing
from relaygw.gateway.parts import Parts
from relaygw.interfaces import IEntries, ILocator, IRewriter, ITable, ITransport

Told = dict[str, Any]


@attrs.frozen(kw_only=True)
class AddressParts:
    """The parts of a configuration that have to do with addresses."""

    config: Config
    tables: Mapping[str, ITable]
    aliases: Aliases | None
    rewriters: Sequence[tuple[RewriterConfig, IRewriter]]
    outgoing: Outgoing | None
    transports: Callable[[str], ITransport | None]


def address_parts(parts: Parts) -> AddressParts:
    """Those of the service."""
    return AddressParts(
        config=parts.config,
        tables=parts.services.tables,
        aliases=parts.aliases,
        rewriters=parts.rewriters,
        outgoing=parts.outgoing,
        transports=parts.transports.get,
    )


class AddressDesk:
    """`parts()` are those in use at the moment."""

    def __init__(self, parts: Callable[[], AddressParts]) -> None:
        self._parts = parts

    def tables(self) -> list[Told]:
        """All tables; `entries` is None where a table cannot show them, `trouble` why a changed file is not used."""
        parts = self._parts()
        used = _uses(parts.config)
        return [
            {
                "name": each.name,
                "use": each.use,
                "used_by": used.get(each.name, []),
                "entries": _count(parts.tables[each.name]),
                "trouble": str(getattr(parts.tables[each.name], "trouble", "")),
            }
            for each in parts.config.tables
        ]

    def entries(self, name: str) -> list[tuple[str, tuple[str, ...]]] | None:
        """What a table holds; None where it cannot show it. Raises LookupError for a table that there is not."""
        table = self._table(name)
        return sorted(IEntries(table).entries()) if IEntries.providedBy(table) else None

    async def lookup(self, name: str, key: str) -> tuple[str, tuple[str, ...]]:
        """The key as the table knows it, and its values. Raises LookupError, or ValueError for what is no key."""
        table = self._table(name)
        try:
            known = key_of(key)
        except TargetError as error:
            raise ValueError(str(error)) from None
        return known, tuple(await resolve(table.lookup(known)))

    def _table(self, name: str) -> ITable:
        try:
            return self._parts().tables[name]
        except KeyError:
            raise LookupError(f"there is no table {name!r}") from None

    async def expand(self, address: Address, sender: Address | None) -> Expansion:
        """What RCPT would find."""
        parts = self._parts()
        aliases = parts.aliases
        ours = aliases is not None and (
            aliases.rules.ours(address.domain) or (aliases.srs is not None and aliases.srs.is_return(address))
        )
        if aliases is None or not ours:
            return Expansion(finals=(Final(address),))
        found = await resolve(aliases.resolve(address, sender))
        if found.plain and aliases.rules.here(address.domain) and not await self._is_somebody(aliases, address):
            return Expansion(reply=UNKNOWN, reason=f"there is no mailbox for {address}")
        return found

    async def _is_somebody(self, aliases: Aliases, address: Address) -> bool:
        """Every domain of ours has a postmaster (RFC 5321 4.5.1)."""
        return address.local.lower() == "postmaster" or await resolve(aliases.directory.account(address)) is not None

    def incoming(self, listener: str, envelope: Envelope, head: bytes) -> tuple[Envelope, bytes, list[Told]]:
        """What the rewriters of a listener make of a message, and what each of them changed."""
        told = []
        for use, rewriter in self._parts().rewriters:
            if listener in use.listeners:
                new, new_head = rewriter.rewrite(envelope, head)
                if new != envelope or new_head != head:
                    told.append(_change(use.name, envelope, head, new, new_head))
                envelope, head = new, new_head
        return envelope, head, told

    def outgoing(self, record: Record, route: Route, head: bytes) -> tuple[Record, list[Told]]:
        """The record as it would be sent by the route, and what is changed for it."""
        outgoing = self._parts().outgoing
        returning = outgoing is not None and outgoing.returns is not None and route.transport not in STAYS
        if outgoing is None or not (returning or route.name in outgoing.rewriters):
            return record, []
        (part,) = outgoing.prepare(record, record.recipients, route, BytesContent(head + b"\r\n"))
        recipients = tuple(state.recipient for state in part.recipients)
        sent = attrs.evolve(part.record, envelope=attrs.evolve(part.record.envelope, recipients=recipients))
        before, new_head = record.envelope, part.content.head
        told = [_change(each.rewriter, before, head, sent.envelope, new_head) for each in part.changes[-1:]]
        if told:
            told[0] |= {"step": ", ".join(each.rewriter for each in part.changes), "reason": part.changes[-1].reason}
        return sent, told

    async def destination(self, route: Route, recipient: Address) -> str:
        """The name under which the queue counts where it goes; "" where that cannot be told."""
        transport = self._parts().transports(route.transport)
        if transport is None:
            return ""
        if ILocator.providedBy(transport):
            locating: Awaitable[None] | None = ILocator(transport).locate(route, recipient)
            if locating is not None:
                await locating
        return transport.destination(route, recipient)


def _count(table: ITable) -> int | None:
    return sum(1 for _ in IEntries(table).entries()) if IEntries.providedBy(table) else None


def _uses(config: Config) -> dict[str, list[str]]:
    """Who uses each table."""
    found: dict[str, list[str]] = {}
    for name in config.aliases.tables:
        found.setdefault(name, []).append("aliases")
    for use in config.rewriters:
        names = use.options.get("tables", ())
        for name in names if isinstance(names, list | tuple) else ():
            found.setdefault(str(name), []).append(f"rewriter {use.name}")
    return found


def _change(name: str, before: Envelope, head: bytes, after: Envelope, new_head: bytes) -> Told:
    """What has changed, in the words of an envelope and lines of a header section."""
    told: Told = {"step": name, "reason": ""}
    if before.sender != after.sender:
        told["sender"] = path(after.sender)
    recipients = [str(each.address) for each in after.recipients]
    if recipients != [str(each.address) for each in before.recipients]:
        told["recipients"] = recipients
    if head != new_head:
        old, new = _lines(head), _lines(new_head)
        told["removed"] = [line for line in old if line not in new]
        told["added"] = [line for line in new if line not in old]
    return told


def _lines(head: bytes) -> list[str]:
    return head.decode("utf-8", "replace").splitlines()
