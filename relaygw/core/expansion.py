"""One recipient becomes others, by an alias or a list: what they inherit of its DSN parameters (RFC 3461 5.2.7).

An alias for one address hands everything on. Of a list nobody learns who received a copy: a success is told for the
list itself ("expanded"), and its members are asked about failures and delays only.
"""

from collections.abc import Sequence

import attrs

from relaygw.core.address import Address
from relaygw.core.envelope import Notify, Recipient

FAILURES = frozenset({Notify.FAILURE, Notify.DELAY})


def expand(recipient: Recipient, targets: Sequence[Address]) -> tuple[Recipient, ...]:
    """The recipients that take its place; where its sender wants to hear of success, and there are several, the first
    is itself, kept for the report."""
    orcpt = recipient.orcpt or f"{'rfc822' if recipient.address.ascii else 'utf-8'};{recipient.address}"
    if len(targets) < 2 or Notify.SUCCESS not in recipient.notify:
        return tuple(Recipient(address=target, notify=recipient.notify, orcpt=orcpt) for target in targets)
    # Without SUCCESS nothing may be left to ask for, and an empty NOTIFY would ask for the default.
    notify = (recipient.notify & FAILURES) or frozenset({Notify.NEVER})
    members = tuple(Recipient(address=target, notify=notify, orcpt=orcpt) for target in targets)
    return (attrs.evolve(recipient, expanded=True), *members)
