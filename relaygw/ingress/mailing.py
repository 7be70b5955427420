"""One mail transaction: MAIL accepted or not, each RCPT, the data, and the answer to it.

The session does not change while a transaction lasts (EHLO, STARTTLS and AUTH end it or are refused). A filter's
DISCARD is answered like an acceptance wherever it is said.
"""

from collections.abc import Awaitable
from functools import partial

import attrs

from relaygw.bridge import follow
from relaygw.core.address import Address
from relaygw.core.content import Content
from relaygw.core.envelope import Envelope, Recipient
from relaygw.core.permission import Destination
from relaygw.core.reply import Reply
from relaygw.core.session import Session, Transaction
from relaygw.core.verdict import Action, Phase
from relaygw.ingress import answers, intake
from relaygw.ingress.answers import Answer
from relaygw.ingress.house import Findings, House
from relaygw.ingress.reception import Reception
from relaygw.ingress.subject import Subject
from relaygw.interfaces import Account, SpoolError

Later = Answer | Awaitable[Answer]

REFUSING = frozenset({Action.REJECT, Action.DEFER})


def reply_of(found: Findings, subject: Subject) -> Reply:
    """What a refusing finding says to the peer and, in `subject`, to the log."""
    subject.reason = found.verdict.reason
    return found.verdict.reply or answers.LOCAL_FAILURE


def _discard_reason(found: Findings | None) -> str:
    if found is None or found.action is not Action.DISCARD:
        return ""
    return found.verdict.reason or "discarded by a filter"


class Mailing:
    """`found` is what filters said of the session. While `committing`, losing the client changes nothing."""

    def __init__(
        self, house: House, session: Session, subject: Subject, envelope: Envelope, found: Findings | None
    ) -> None:
        self.queue_id = house.new_id()
        self.envelope = envelope
        self.reception: Reception | None = None
        self.committing = False
        self._house = house
        self._session = session
        self._subject = subject
        self._found = found
        self._discarded = _discard_reason(found)
        # In order, each once: a client that repeats a recipient does not get it delivered twice.
        self._recipients: dict[Recipient, None] = {}
        self._given_up = False

    def begin(self) -> Later:
        """The answer to MAIL."""
        return follow(self._house.chain.ask(Phase.MAIL, self._transaction()), self._sender_judged)

    def _sender_judged(self, found: Findings) -> Answer:
        if found.action in REFUSING:
            return reply_of(found, self._subject)
        self._keep(found)
        self._discarded = self._discarded or _discard_reason(found)
        return answers.SENDER_OK

    def _keep(self, found: Findings) -> None:
        self._found = found if self._found is None else self._found.then(found)

    # RCPT

    def recipient(self, recipient: Recipient) -> Later:
        """The answer to RCPT: first whether the client may, then whether there is such a mailbox, then the filters."""
        if len(self._recipients) >= self._house.limits.recipients:
            return answers.TOO_MANY_RECIPIENTS
        destination = self._destination(recipient.address)
        if isinstance(destination, Reply):
            return destination
        if destination is Destination.LOCAL:
            return follow(self._house.directory.account(recipient.address), partial(self._looked_up, recipient))
        return self._ask(recipient)

    def _destination(self, address: Address) -> Destination | Reply:
        permission = self._house.permission
        if address is self._house.postmaster:  # the bare <postmaster> is refused to nobody (RFC 5321 4.5.1)
            return permission.destination(address)
        return permission.relay_to(self._session, address)

    def _looked_up(self, recipient: Recipient, account: Account | None) -> Later:
        """Every local domain has a postmaster (RFC 5321 4.5.1): ours, where it has none of its own."""
        if account is not None:
            return self._ask(recipient)
        postmaster = self._house.postmaster
        if recipient.address.local.lower() != "postmaster" or recipient.address == postmaster:
            return answers.NO_SUCH_USER
        substitute = attrs.evolve(recipient, address=postmaster)
        if self._house.permission.destination(postmaster) is not Destination.LOCAL:
            return self._ask(substitute)
        return follow(self._house.directory.account(postmaster), partial(self._looked_up, substitute))

    def _ask(self, recipient: Recipient) -> Later:
        transaction = self._transaction(recipient=recipient)
        return follow(self._house.chain.ask(Phase.RCPT, transaction), partial(self._recipient_judged, recipient))

    def _recipient_judged(self, recipient: Recipient, found: Findings) -> Answer:
        if found.action in REFUSING:
            return reply_of(found, self._subject)
        if found.action is Action.DISCARD:
            alone = attrs.evolve(self.envelope, recipients=(recipient,))
            intake.discard(self._house, attrs.evolve(self._transaction(), envelope=alone), _discard_reason(found))
        else:
            self._keep(found)
            self._recipients[recipient] = None
        return answers.RECIPIENT_OK

    # Data

    def data(self) -> Answer:
        """The answer to DATA."""
        try:
            sink = self._house.spool.sink()
        except SpoolError as error:
            self._subject.reason = f"spool: {error}"
            return answers.LOCAL_FAILURE
        self.reception = Reception(sink, self._house.limits.message_size)
        return answers.GO_AHEAD

    def end(self) -> Later:
        """The answer to the message."""
        reception = self.reception
        assert reception is not None
        refusal = reception.flaw()
        if refusal is not None:
            self._subject.reason = f"spool: {reception.error}" if reception.error else ""
            return refusal
        if self._discarded or not self._recipients:
            return self._discard(self._discarded or "every recipient was discarded")
        transaction = self._transaction(content=reception.sink.content())
        return follow(self._house.chain.ask(Phase.DATA, transaction), partial(self._judged, transaction, reception))

    def _judged(self, transaction: Transaction, reception: Reception, found: Findings) -> Later:
        """The filters have seen the content."""
        if self._given_up:
            return answers.LOCAL_FAILURE
        if found.action in REFUSING:
            return reply_of(found, self._subject)
        if found.action is Action.DISCARD:
            return self._discard(_discard_reason(found))
        self._keep(found)
        assert transaction.content is not None
        message = intake.compose(self._house, transaction, transaction.content, self._found)
        self.committing = True
        return follow(intake.commit(self._house, message, reception.sink), self._committed)

    def _committed(self, reply: Reply) -> Answer:
        self.committing = False
        if not reply.positive:
            self._subject.reason = "the spool failed"
        return reply

    def _discard(self, reason: str) -> Answer:
        self.give_up()
        return intake.discard(self._house, self._transaction(), reason)

    def give_up(self) -> None:
        """Forget the content, unless it is in the spool's hands."""
        self._given_up = True
        if self.reception is not None and not self.committing:
            self.reception.sink.abort()

    def _transaction(self, *, recipient: Recipient | None = None, content: Content | None = None) -> Transaction:
        """What filters are shown."""
        envelope = self.envelope
        if self._recipients:
            envelope = attrs.evolve(envelope, recipients=tuple(self._recipients))
        return Transaction(
            session=self._session,
            envelope=envelope,
            queue_id=self.queue_id,
            recipient=recipient,
            content=content,
            results=self._found.results if self._found is not None else {},
        )
