"""The envelope of an accepted message once its recipients are expanded: who stands in whose place, and which part of it
becomes a message of its own, because the members of a list with an owner get it from the owner (RFC 5321 3.9.2,
RFC 3461 5.2.7.1).
"""

from collections.abc import Iterable, Mapping

import attrs

from relaygw.core.address import Address
from relaygw.core.aliasing import Expansion
from relaygw.core.envelope import Envelope, Notify, Recipient
from relaygw.core.expansion import expand

Expansions = Mapping[Recipient, Expansion]

NO_EXPANSIONS: Expansions = {}


def spread(envelope: Envelope, expansions: Expansions) -> tuple[Envelope, ...]:
    """The envelopes in place of this one, each with its own sender; none where all was meant to be thrown away."""
    own: list[Recipient] = []
    lists: dict[Address, list[Recipient]] = {}
    for recipient in envelope.recipients:
        expansion = expansions.get(recipient)
        if expansion is None:
            own.append(recipient)
        else:
            own += _places(recipient, expansion, envelope.sender is not None, lists)
    found = [_with(envelope, own)] if own else []
    found += [_with(attrs.evolve(envelope, sender=owner, ret="", envid=""), each) for owner, each in lists.items()]
    return tuple(found)


def _places(
    recipient: Recipient, expansion: Expansion, owned: bool, lists: dict[Address, list[Recipient]]
) -> tuple[Recipient, ...]:
    """Who takes the place in the message itself; `lists` gets the members of lists with an owner. A report, which has
    no sender, goes to them as one."""
    members = [final for final in expansion.finals if owned and final.owner is not None]
    for final in members:
        assert final.owner is not None
        lists.setdefault(final.owner, []).append(Recipient(address=final.address))
    others = [final.address for final in expansion.finals if not (owned and final.owner is not None)]
    if not members:
        return expand(recipient, others)
    # For the sender a list is where his message arrives (RFC 3461 5.2.7.1): its members are none of his.
    kept = (attrs.evolve(recipient, expanded=True, listed=True),) if Notify.SUCCESS in recipient.notify else ()
    return kept + tuple(each for each in expand(recipient, others) if not each.expanded)


def _with(envelope: Envelope, recipients: Iterable[Recipient]) -> Envelope:
    """Each address once: two aliases may lead to one."""
    unique: dict[tuple[Address, bool], Recipient] = {}
    for recipient in recipients:
        unique.setdefault((recipient.address, recipient.expanded), recipient)
    utf8 = envelope.smtputf8 or not all(recipient.address.ascii for recipient in unique.values())
    return attrs.evolve(envelope, recipients=tuple(unique.values()), smtputf8=utf8)
