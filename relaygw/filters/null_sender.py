"""The filter `null_sender`: what may come from the null reverse-path `<>` (RFC 5321 4.5.5).

It is for reports about mail, and a report goes to the one who sent that mail: to one recipient, and never to an address
that sends nothing. Others than the first recipient are asked to come in a transaction of their own, so that no honest
report is lost. The filter never refuses `<>` as such: whoever does, loses the reports about its own mail. Logins,
trusted networks and clients on this host are not judged.
"""

import attrs
from zope.interface import implementer

from relaygw.config.kinds import Count
from relaygw.core.client import parse_client
from relaygw.core.patterns import Patterns, compile_patterns
from relaygw.core.reply import Reply
from relaygw.core.session import Session, Transaction
from relaygw.core.verdict import PASS, Phase, Verdict, defer, reject
from relaygw.interfaces import IFilter, Options, Services
from relaygw.plugins import structure_options


@attrs.frozen(kw_only=True)
class NullSenderOptions:
    """`recipients` of one transaction. `refuse` tells those beyond for good (550) instead of for now (452).
    `never_senders` are patterns of addresses of ours that send no mail: lists, aliases, "nobody@…"."""

    recipients: Count = 1
    refuse: bool = False
    never_senders: tuple[str, ...] = ()

    def patterns(self) -> Patterns:
        """Raises ValueError."""
        return compile_patterns(self.never_senders, {})

    def __attrs_post_init__(self) -> None:
        self.patterns()


@implementer(IFilter)
class NullSenderFilter:
    phases = frozenset({Phase.RCPT})

    def __init__(self, options: Options, services: Services) -> None:
        self._options = structure_options(NullSenderOptions, options)
        self._never = self._options.patterns()

    def check(self, phase: Phase, transaction: Transaction) -> Verdict:
        envelope = transaction.envelope
        if envelope.sender is not None or transaction.recipient is None or _is_our_own(transaction.session):
            return PASS
        address = transaction.recipient.address
        if pattern := self._never.match(address):
            return reject(
                f"null_sender: {address} sends no mail ({pattern})",
                Reply(550, "5.7.1", "This address sends no mail, so there is nothing to report to it"),
            )
        others = [each for each in envelope.recipients if each.address != address]
        return PASS if len(others) < self._options.recipients else self._too_many()

    def _too_many(self) -> Verdict:
        reason = f"null_sender: more than {self._options.recipients} recipients"
        if self._options.refuse:
            return reject(reason, Reply(550, "5.5.3", "A report goes to one recipient"))
        return defer(
            reason, Reply(452, "4.5.3", "A report goes to one recipient; send the rest in another transaction")
        )


def _is_our_own(session: Session) -> bool:
    client = parse_client(session.client)
    return client is None or client.is_loopback or session.trusted or bool(session.login)
