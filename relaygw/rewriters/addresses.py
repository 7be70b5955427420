"""The rewriter "addresses": senders and recipients become what tables say, in the envelope and in the header section;
hosts of a domain become the domain.

On listeners it is what others call canonical maps, on routes generic maps. Options:

    tables             names of [[table]]s that are kept in memory, asked in this order
    masquerade         domains whose hosts are hidden: bob@pc7.example.com becomes bob@example.com
    masquerade_except  local parts that stay as they are, such as "root"
    change             what is changed: "envelope_sender", "envelope_recipient", "header_sender", "header_recipient";
                       by default all but envelope_recipient

Aliases have been expanded before: what a recipient becomes here is not looked up among them. Signatures of others on
fields that are changed break.
"""

import enum

import attrs
from zope.interface import implementer

from relaygw.config.kinds import Domain
from relaygw.core.address import Address
from relaygw.core.address_map import AddressMap, MapError, masked
from relaygw.core.alias_targets import fold
from relaygw.core.envelope import Envelope, Recipient
from relaygw.core.header_addresses import RECIPIENTS, SENDERS, replace_addresses
from relaygw.interfaces import IEntries, IRewriter, ITable, Options, Services
from relaygw.plugins import OptionsError, structure_options


class Part(enum.Enum):
    """What may be changed."""

    ENVELOPE_SENDER = "envelope_sender"
    ENVELOPE_RECIPIENT = "envelope_recipient"
    HEADER_SENDER = "header_sender"
    HEADER_RECIPIENT = "header_recipient"


@attrs.frozen(kw_only=True)
class AddressOptions:
    tables: tuple[str, ...] = ()
    masquerade: tuple[Domain, ...] = ()
    masquerade_except: tuple[str, ...] = ()
    change: tuple[Part, ...] = (Part.ENVELOPE_SENDER, Part.HEADER_SENDER, Part.HEADER_RECIPIENT)

    def __attrs_post_init__(self) -> None:
        if not (self.tables or self.masquerade):
            raise ValueError("tables or masquerade is wanted")


@implementer(IRewriter)
class AddressRewriter:
    """See the module."""

    def __init__(self, options: Options, services: Services) -> None:
        given = structure_options(AddressOptions, options)
        settings = services.settings
        problems = []
        lookups = []
        for name in given.tables:
            table = services.tables.get(name)
            if table is None:
                problems.append(f"option 'tables': no [[table]] is named {name!r}")
            elif not IEntries.providedBy(table):
                problems.append(f"option 'tables': {name!r} may answer late, and a rewriter cannot wait")
            else:
                lookups.append(ITable(table).lookup)
                problems += _faults(name, table)
        if problems:
            raise OptionsError(*problems)
        self._map = AddressMap(
            lookups=tuple(lookups),
            local=frozenset(settings.domains),
            delimiter=settings.aliases.delimiter,
            masquerade=masked(given.masquerade),
            shown=frozenset(map(fold, given.masquerade_except)),
        )
        self._parts = frozenset(given.change)
        self._fields = (SENDERS if Part.HEADER_SENDER in self._parts else frozenset()) | (
            RECIPIENTS if Part.HEADER_RECIPIENT in self._parts else frozenset()
        )

    def rewrite(self, envelope: Envelope, head: bytes) -> tuple[Envelope, bytes]:
        """Both as they were where no address changes."""
        if Part.ENVELOPE_SENDER in self._parts and envelope.sender is not None:
            sender = self._map.change(envelope.sender)
            if sender != envelope.sender:
                envelope = attrs.evolve(envelope, sender=sender, smtputf8=envelope.smtputf8 or not sender.ascii)
        if Part.ENVELOPE_RECIPIENT in self._parts:
            recipients = tuple(map(self._recipient, envelope.recipients))
            if recipients != envelope.recipients:
                utf8 = envelope.smtputf8 or not all(each.address.ascii for each in recipients)
                envelope = attrs.evolve(envelope, recipients=recipients, smtputf8=utf8)
        return envelope, replace_addresses(head, self._fields, self._map.change) if self._fields else head

    def _recipient(self, recipient: Recipient) -> Recipient:
        """Reports still tell of the address that the sender knows (RFC 3461 5.2.1)."""
        if recipient.expanded:
            return recipient
        address = self._map.change(recipient.address)
        if address == recipient.address:
            return recipient
        original = f"{'rfc822' if recipient.address.ascii else 'utf-8'};{recipient.address}"
        return attrs.evolve(recipient, address=address, orcpt=recipient.orcpt or original)


def _faults(name: str, table: IEntries) -> list[str]:
    """Entries that are no maps, found at start."""
    nobody = Address("nobody", "example.invalid")
    faults = []
    for key, values in table.entries():
        if len(values) > 1:
            faults.append(f"option 'tables': {name}: {key!r} leads to several addresses, which is for aliases")
            continue
        try:
            AddressMap(lookups=(lambda _, values=values: values,)).change(nobody)  # type: ignore[misc]  # bound at once
        except MapError as error:
            faults.append(f"option 'tables': {name}: {key!r}: {error}")
    return faults[:10]
