"""One message through one session: MAIL, RCPT, DATA and the content; exactly one outcome per recipient.

With PIPELINING the commands travel in one group (RFC 2920), and nothing of the content before every reply is in. The
final dot is sent only when the content before it is whole: whatever ends a transaction early ends the connection.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain

from relaygw.core.envelope import Recipient
from relaygw.core.mail_commands import mail_command, rcpt_command
from relaygw.core.outcome import Outcome
from relaygw.core.reply import Reply
from relaygw.egress.broken import Phase
from relaygw.egress.client import Session
from relaygw.egress.hop import Manners
from relaygw.egress.ledger import Ledger
from relaygw.egress.message import Message, chunk_pieces, wire_pieces
from relaygw.egress.suitability import needs_smtputf8, rule_out

MAX_RECIPIENTS = 100
"""Recipients per transaction: what every server must take (RFC 5321 4.5.3.1.8)."""


class Unstarted(Exception):
    """A kept connection is dead before the server said anything, or cannot begin anew: a fresh one is tried at once."""


class Interrupted(Exception):
    """Something of ours ended the conversation: a cancelled attempt, content that cannot be read, or a fault.

    What is known by then must not be lost with it: `outcomes` has one for every recipient.
    """

    def __init__(self, outcomes: tuple[Outcome, ...], cause: Exception) -> None:
        super().__init__(f"{type(cause).__name__}: {cause}")
        self.outcomes = outcomes
        self.cause = cause


async def send(
    session: Session, message: Message, recipients: Sequence[Recipient], manners: Manners
) -> tuple[Outcome, ...]:
    """One outcome per recipient, in order; raises Unstarted or Interrupted, and then the connection is aborted."""
    ledger = Ledger(session, recipients)
    rule_out(ledger, message)
    most = min(MAX_RECIPIENTS, session.offered.max_recipients or MAX_RECIPIENTS)  # RFC 9422 4.2
    while batch := ledger.open()[:most]:
        if session.spent:
            ledger.decided(ledger.open(), Reply(451, "4.5.3", "the next hop takes no more messages in one session"))
            break
        if session.offered.max_domains and not (batch := _of_its_domains(session, ledger, most)):
            ledger.decided(ledger.open(), Reply(451, "4.5.3", "the next hop takes no more domains in one session"))
            break
        session.transactions += 1
        transaction = _Transaction(ledger, message, manners, batch)
        try:
            await transaction.run()
        except Unstarted:
            session.connection.abort()
            raise
        except Exception as error:
            session.connection.abort()
            transaction.broken_off(error)
            raise Interrupted(ledger.all(), error) from error
        if session.connection.failure is not None:
            ledger.ended(session.connection.failure)
    return ledger.all()


def _of_its_domains(session: Session, ledger: Ledger, most: int) -> list[int]:
    """Those open whose domains fit into the session (RFC 9422 4.3)."""
    batch: list[int] = []
    for number in ledger.open():
        domain = ledger.recipients[number].address.domain
        if domain not in session.domains and len(session.domains) >= session.offered.max_domains:
            continue
        session.domains.add(domain)
        batch.append(number)
    return batch[:most]


class _Transaction:
    """The recipients of `batch`, by position. Those left without an outcome are for a further transaction."""

    def __init__(self, ledger: Ledger, message: Message, manners: Manners, batch: list[int]) -> None:
        self._ledger = ledger
        self._session = ledger.session
        self._connection = ledger.session.connection
        self._message = message
        self._manners = manners
        self._batch = batch
        self._accepted: list[int] = []
        # DATA would have to add a CRLF to what does not end with one.
        self._chunked = message.binary or (ledger.session.offered.chunking and not message.ended)

    def broken_off(self, error: Exception) -> None:
        """Who waited for a final reply that may have been on its way is uncertain; nobody else is."""
        failure = self._connection.failure
        if failure is not None and failure.phase is Phase.END:
            waiting = [number for number in self._accepted if number not in self._ledger.outcomes]
            self._ledger.decided(waiting, failure.reply, uncertain=True)
        reply = Reply(451, "4.3.0", f"the attempt broke off ({type(error).__name__}: {error})")
        self._ledger.decided(self._ledger.open(), failure.reply if failure is not None else reply)

    async def run(self) -> None:
        commands = self._commands()
        was_dirty, self._session.dirty = self._session.dirty, True
        if was_dirty:
            commands.insert(0, b"RSET\r\n")
        replies = await (self._pipelined(commands) if self._session.offered.pipelining else self._in_turn(commands))
        if self._session.reused and self._nothing_said(replies):
            raise Unstarted
        if was_dirty and replies and replies[0].code // 100 != 2:
            self._not_reset(replies[0])
            return
        self._session.reused = False
        await self._judge(replies[1:] if was_dirty else replies)

    def _not_reset(self, reply: Reply) -> None:
        """The old transaction is still open: whatever the server said after that means nothing for the new one."""
        if self._session.reused:
            raise Unstarted
        self._connection.abort()
        self._ledger.decided(self._batch, Reply(451, "4.5.0", f"the server answered to RSET: {reply}"))

    def _commands(self) -> list[bytes]:
        offered, envelope, recipients = self._session.offered, self._message.envelope, self._ledger.recipients
        smtputf8 = needs_smtputf8(self._message) or envelope.smtputf8
        mail = mail_command(
            envelope,
            offered,
            size=self._message.size,
            body=self._message.body,
            smtputf8=smtputf8 or not all(recipients[number].address.ascii for number in self._batch),
            requiretls=envelope.requiretls,
            logged_in=self._session.hop.login is not None,
        )
        data = [] if self._chunked else [b"DATA\r\n"]
        return [mail, *(rcpt_command(recipients[number], offered) for number in self._batch), *data]

    async def _pipelined(self, commands: list[bytes]) -> list[Reply]:
        group = b"".join(commands)
        return await self._connection.ask(group, len(commands), self._manners.command_timeout, Phase.ENVELOPE)

    async def _in_turn(self, commands: list[bytes]) -> list[Reply]:
        """One by one; no DATA where it has no recipient to be for. Fewer replies than commands then."""
        replies: list[Reply] = []
        for number, command in enumerate(commands):
            if command == b"DATA\r\n" and not any(
                reply.code // 100 == 2 for reply in replies[number - len(self._batch) :]
            ):
                break
            last = command == b"DATA\r\n"
            timeout = self._manners.data_start_timeout if last else self._manners.command_timeout
            got = await self._connection.ask(command, 1, timeout, Phase.ENVELOPE)
            replies += got
            refused = command.startswith((b"RSET", b"MAIL")) and got and got[0].code // 100 != 2
            if self._connection.failure is not None or refused:
                break
        return replies

    def _nothing_said(self, replies: list[Reply]) -> bool:
        """Whether the server had given the connection up before it read this transaction."""
        if self._connection.failure is None or not self._connection.failure.closed:
            return False
        return not replies or replies[0].code == 421

    async def _judge(self, replies: list[Reply]) -> None:
        """What the answers to MAIL, RCPT and DATA mean. A missing one is explained by the connection's failure."""
        if not replies:
            return
        mail, recipients, data = replies[0], replies[1 : len(self._batch) + 1], replies[len(self._batch) + 1 :]
        if mail.code // 100 != 2:
            for number in self._batch:
                self._ledger.answered(number, mail)
            if data and data[0].code == 354:  # it waits for content of a transaction it refused: nothing fits any more
                self._connection.abort()
            return
        self._judge_recipients(recipients)
        if self._chunked and self._accepted and self._connection.failure is None:
            await self._chunks()
        if not data:
            return
        if data[0].code == 354:
            await self._content()
        elif data[0].code // 100 in (2, 3):
            self._out_of_step(data[0])
        else:
            for number in self._accepted:
                self._ledger.answered(number, data[0])

    def _judge_recipients(self, replies: list[Reply]) -> None:
        full: list[tuple[int, Reply]] = []
        for number, reply in zip(self._batch, replies, strict=False):
            if reply.code // 100 == 2:
                self._accepted.append(number)
            elif self._accepted and reply.code in (452, 552) and reply.enhanced in ("", "4.5.3", "5.5.3"):
                full.append((number, reply))  # RFC 5321 4.5.3.1.10: to be tried in a transaction of their own
            else:
                self._ledger.answered(number, reply)
        if self._connection.failure is not None:
            for number, reply in full:
                self._ledger.answered(number, reply)

    def _out_of_step(self, reply: Reply) -> None:
        self._connection.abort()
        self._ledger.decided(self._accepted, Reply(451, "4.5.0", f"the server answered to DATA: {reply}"))

    async def _content(self) -> None:
        """The server waits for content. Where it refused every recipient, it gets none (RFC 2920 3.1)."""
        if not self._accepted:
            await self._connection.ask(b".\r\n", 1, self._manners.command_timeout, Phase.END)
            self._session.dirty = False
            return
        count = len(self._accepted) if self._session.hop.lmtp else 1
        wire, timeout = self._message.wire, self._manners.data_timeout
        if wire is not None:
            replies = await self._connection.ask(wire, count, timeout, Phase.END)
        else:
            replies = await self._stream(count, wire_pieces(self._message))
        self._judge_end(replies, count)

    async def _chunks(self) -> None:
        """One BDAT with all there is (RFC 3030 2)."""
        count = len(self._accepted) if self._session.hop.lmtp else 1
        command = b"BDAT %d LAST\r\n" % self._message.size
        self._judge_end(await self._stream(count, chain((command,), chunk_pieces(self._message))), count)

    async def _stream(self, count: int, pieces: Iterator[bytes]) -> list[Reply]:
        """A large content, a piece at a time, as fast as the server takes it.

        The next piece is read before one is written: when the last is out, nothing may stand between it and the
        answer, which can come at once.
        """
        connection = self._connection
        read = partial(self._message.run, lambda: next(pieces, None))
        answer = connection.expect(count, self._manners.data_block_timeout, Phase.CONTENT)
        connection.begin_stream()
        piece = await read()
        while piece is not None:
            following = await read()
            if not await connection.write_piece(piece):
                break
            piece = following
        connection.end_stream(self._manners.data_timeout)
        return await answer

    def _judge_end(self, replies: list[Reply], count: int) -> None:
        """One reply for all recipients, or with LMTP one for each, in order (RFC 2033 4.2)."""
        each = replies if self._session.hop.lmtp else replies * len(self._accepted)
        for number, reply in zip(self._accepted, each, strict=False):
            self._ledger.answered(number, reply)
        failure = self._connection.failure
        if len(replies) == count:
            self._session.dirty = False
            self._session.messages += 1
            if any(reply.code // 100 == 3 for reply in replies):
                self._connection.abort()
        elif failure is not None:
            # The server may have taken the message although we read no answer (RFC 1047).
            lost = failure.phase is Phase.END and not failure.remote
            silent = [number for number in self._accepted if number not in self._ledger.outcomes]
            if failure.remote:
                for number in silent:
                    self._ledger.answered(number, failure.reply)
            else:
                self._ledger.decided(silent, failure.reply, uncertain=lost)
