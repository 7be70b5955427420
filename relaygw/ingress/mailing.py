"""One mail transaction: MAIL accepted or not, each RCPT, the data, and the answer to it.

The session does not change while a transaction lasts (EHLO, STARTTLS and AUTH end it or are refused). A filter's
DISCARD is answered like an acceptance wherever it is said.
"""

from collections.abc import Awaitable
from functools import partial

import attrs

from relaygw.bridge import follow
from relaygw.core.address import Address
from relaygw.core.aliasing import Expansion
from relaygw.core.content import Content
from relaygw.core.envelope import Body, Envelope, Recipient, sent_to
from relaygw.core.events import LineEndsRepaired
from relaygw.core.permission import Destination
from relaygw.core.reply import Reply
from relaygw.core.session import Session, Transaction
from relaygw.core.verdict import Action, Phase
from relaygw.ingress import answers, intake
from relaygw.ingress.answers import Answer
from relaygw.ingress.decoding import Chunks
from relaygw.ingress.house import Findings, House
from relaygw.ingress.quotas import Held
from relaygw.ingress.reception import BARE_LINE_END, Reception
from relaygw.ingress.repairing import make_decoder
from relaygw.ingress.spreading import NO_EXPANSIONS, Expansions
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
    """`found` is what filters said of the session; `accepted` how many RCPT were, `recipients` are those who shall get
    it. While `committing`, losing the client changes nothing."""

    def __init__(
        self, house: House, session: Session, subject: Subject, envelope: Envelope, found: Findings | None
    ) -> None:
        self.queue_id = house.new_id()
        self.envelope = envelope
        self.reception: Reception | None = None
        self.committing = False
        self.accepted = 0
        self._house = house
        self._session = session
        self._subject = subject
        self._found = found
        self._discarded = _discard_reason(found)
        # In order, each once: a client that repeats a recipient does not get it delivered twice.
        self.recipients: dict[Recipient, None] = {}
        self._expansions: dict[Recipient, Expansion] | None = None
        self._chunks: Chunks | None = None
        self._given_up = False

    def begin(self) -> Later:
        """The answer to MAIL."""
        if self._house.binding is None:
            return self._ask_about_sender(None)
        return follow(self._house.binding.envelope(self._session, self.envelope.sender), self._ask_about_sender)

    def _ask_about_sender(self, refusal: Reply | None) -> Later:
        """The client may write as this sender, or not."""
        if refusal is not None:
            return refusal
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
        if len(self.recipients) >= self._house.limits.recipients:
            return answers.TOO_MANY_RECIPIENTS
        destination = self._destination(recipient.address)
        if isinstance(destination, Reply):
            return destination
        if self._house.aliases is not None and destination is not Destination.ELSEWHERE:
            expansion = self._house.aliases.resolve(recipient.address, self.envelope.sender)
            return follow(expansion, partial(self._resolved, recipient, destination))
        return self._at_home(recipient) if destination is Destination.LOCAL else self._ask(recipient)

    def _resolved(self, recipient: Recipient, destination: Destination, expansion: Expansion) -> Later:
        """Aliases have been looked up: what is none must be a mailbox here, or somebody's behind us."""
        if expansion.reply is not None:
            self._subject.reason = expansion.reason
            return expansion.reply
        if expansion.plain:
            return self._at_home(recipient) if destination is Destination.LOCAL else self._ask(recipient)
        if self._expansions is None:
            self._expansions = {}
        others = sum(len(each.finals) for each in self._expansions.values())
        assert self._house.aliases is not None
        if others and others + len(expansion.finals) > self._house.aliases.rules.most:
            return answers.TOO_MANY_RECIPIENTS
        self._expansions[recipient] = expansion
        return self._ask(recipient)

    def _at_home(self, recipient: Recipient) -> Later:
        return follow(self._house.directory.account(recipient.address), partial(self._looked_up, recipient))

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
        original = recipient.orcpt or f"{'rfc822' if recipient.address.ascii else 'utf-8'};{recipient.address}"
        substitute = attrs.evolve(recipient, address=postmaster, orcpt=original)  # RFC 3461 5.2.1
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
            alone = sent_to(self.envelope, (recipient,))
            intake.discard(self._house, attrs.evolve(self._transaction(), envelope=alone), _discard_reason(found))
        else:
            self._keep(found)
            self.recipients[recipient] = None
        self.accepted += 1
        return answers.RECIPIENT_OK

    # Data

    def data(self) -> Answer:
        """The answer to DATA."""
        try:
            sink = self._house.spool.sink()
        except SpoolError as error:
            self._spool_failed(str(error))
            return answers.LOCAL_FAILURE
        self.reception = Reception(sink, self._house.limits.message_size, make_decoder(self._house.line_ends))
        return answers.GO_AHEAD

    def chunk(self, size: int) -> Reply | None:
        """BDAT announces octets: None where they may come, or the refusal."""
        if self.reception is None:
            try:
                sink = self._house.spool.sink()
            except SpoolError as error:
                self._spool_failed(str(error))
                return answers.LOCAL_FAILURE
            self._chunks = Chunks()
            binary = self.envelope.body is Body.BINARY
            self.reception = Reception(sink, self._house.limits.message_size, self._chunks, binary)
        assert self._chunks is not None
        self._chunks.left = size
        return None

    def chunk_flaw(self) -> Reply | None:
        """After a chunk: why the message will be refused, as far as that is known."""
        assert self.reception is not None
        self._subject.reason = f"spool: {self.reception.error}" if self.reception.error else ""
        return self.reception.refusal

    def end(self) -> Later:
        """The answer to the message."""
        reception = self.reception
        assert reception is not None
        refusal = reception.flaw()
        if refusal is not None:
            self._say_why(refusal, reception)
            return refusal
        if reception.repaired:
            self._journal_repair()
        if self._discarded or not self.recipients:
            return self._discard(self._discarded or "every recipient was discarded")
        transaction = self._transaction(content=reception.sink.content())
        if self._house.binding is None:
            return self._ask_about_content(transaction, reception, None)
        return follow(
            self._house.binding.head(self._session, reception.sink.content().head),
            partial(self._ask_about_content, transaction, reception),
        )

    def _say_why(self, refusal: Reply, reception: Reception) -> None:
        """What the log says of content that cannot be taken."""
        if reception.error:
            self._spool_failed(reception.error)
        elif refusal is BARE_LINE_END:
            self._subject.reason = f"a bare CR or LF from {self._session.client or 'a local client'}"
        else:
            self._subject.reason = ""

    def _spool_failed(self, error: str) -> None:
        self._subject.reason = f"spool: {error}"
        if self._house.pressure is not None:
            self._house.pressure.spool_failed(error)

    def _journal_repair(self) -> None:
        session = self._session
        self._house.journal(
            LineEndsRepaired(
                session=session.id,
                queue_id=self.queue_id,
                client=session.client,
                listener=session.listener,
                line_ends=self._house.line_ends,
            )
        )

    def _ask_about_content(self, transaction: Transaction, reception: Reception, refusal: Reply | None) -> Later:
        """The client may write as the authors of the message, or not."""
        if refusal is not None:
            return refusal
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
        expansions = self._accepted_expansions() if self._expansions else NO_EXPANSIONS
        message = intake.compose(self._house, transaction, transaction.content, self._found, self._charge(), expansions)
        if message is None:
            return self._discard("its recipients lead nowhere")
        self.committing = True
        return follow(intake.commit(self._house, message, reception.sink), self._committed)

    def _accepted_expansions(self) -> Expansions:
        """Not of recipients whom filters refused."""
        expansions = self._expansions or {}
        return {recipient: expansions[recipient] for recipient in self.recipients if recipient in expansions}

    def _charge(self) -> Held | None:
        """What the message is held for, where it is beyond a quota."""
        quotas, reception = self._house.quotas, self.reception
        if quotas is None or reception is None:
            return None
        return quotas.charge(self._session, len(self.recipients), reception.sink.size)

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
        if self.recipients:
            envelope = sent_to(envelope, tuple(self.recipients))
        return Transaction(
            session=self._session,
            envelope=envelope,
            queue_id=self.queue_id,
            recipient=recipient,
            content=content,
            results=self._found.results if self._found is not None else {},
        )
