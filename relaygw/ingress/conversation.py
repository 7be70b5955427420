"""What is said in one session: a command in, its answer out, now or later; no bytes, no transport, no timer.

The connection (`relaygw.ingress.protocol`) gives it one thing at a time: a command line, a SASL response, a piece of
data, the end of data; and nothing more before that is answered. Where everybody asked answers at once, so does it.
The order of commands is the table in `relaygw.ingress.states`; what a mail transaction does is in `mailing`.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import attrs

from relaygw.bridge import afterwards, follow
from relaygw.core.command import (
    CommandError,
    parse_chunk,
    parse_command,
    parse_hello,
    parse_mail,
    parse_rcpt,
    parse_verify,
)
from relaygw.core.envelope import Body, Envelope, path
from relaygw.core.parameters import begin_envelope, make_recipient
from relaygw.core.reply import Reply
from relaygw.core.session import Session, Tls, Transaction, greeted
from relaygw.core.verdict import Phase
from relaygw.ingress import answers
from relaygw.ingress.answers import Answer, Then, Turn
from relaygw.ingress.chunk import Chunk
from relaygw.ingress.house import Findings, House
from relaygw.ingress.login import MAX_RESPONSE, Login
from relaygw.ingress.mailing import REFUSING, Later, Mailing, reply_of
from relaygw.ingress.offers import offered, understood
from relaygw.ingress.refusals import Refusals
from relaygw.ingress.states import TABLE, VERBS, WITHOUT_ARGUMENT, Next, State, Verb, out_of_sequence
from relaygw.ingress.subject import Subject
from relaygw.sasl import SecureChannel

MAX_LINE = 2048
"""Octets of a command line with its CRLF: 512 (RFC 5321 4.5.3.1.4) and what the extensions add to it."""

_END_OF_DATA = "end of data"
_NO_ENVELOPE = Envelope(sender=None)


def line_limit(beginning: bytes) -> int:
    """How long a command line may be that begins like this."""
    return MAX_RESPONSE if beginning[:5].upper() == b"AUTH " else MAX_LINE


class Conversation:
    """One session's state. `session` is what filters see of it; `receiving`: the octets that come are data and go to
    `feed`."""

    def __init__(self, house: House, session: Session) -> None:
        self.session = session
        self.state = State.STRANGER
        self.commands = 0
        self.receiving = False
        self._messages = 0
        self._extensions: frozenset[str] = frozenset()
        self._chunk: Chunk | None = None
        self._house = house
        self._subject = Subject()
        self._refusals: Refusals | None = None  # most sessions have none
        self._login = Login(house, session, self._subject)
        self._mailing: Mailing | None = None
        self._connected: Findings | None = None
        self._found: Findings | None = None

    # What the connection asks.

    @property
    def responding(self) -> bool:
        """Whether the next line is a SASL response and goes to `response`."""
        return self._login.exchange is not None

    @property
    def resting(self) -> bool:
        """Whether nothing is lost by ending the session now."""
        return self._mailing is None

    @property
    def interruptible(self) -> bool:
        """Whether what is being waited for may be cancelled."""
        return self._mailing is None or not self._mailing.committing

    @property
    def penalty(self) -> float:
        """For how many seconds an error is not answered."""
        return self._refusals.penalty(self.session) if self._refusals is not None else 0.0

    # What the connection tells.

    def greet(self) -> Later:
        """The greeting, once the filters have looked at the client (RFC 5321 3.1)."""
        return follow(self._ask(Phase.CONNECT), self._greeted)

    def command(self, line: bytes, more: bool) -> Later | None:
        """One command line; `more` tells that the client has sent something behind it already.

        None: what is to be said will be the answer to the data that follows.
        """
        self.commands += 1
        self._subject.begin("")
        try:
            command = parse_command(line)
            verb = VERBS.get(command.verb)
            # What is no command may be the password of a client that does not listen to us: it stands in no log.
            self._subject.command = command.verb if verb is not None or command.verb in answers.FOREIGN else "unknown"
            if verb is None:
                return answers.unknown(command.verb)
            return self._perform(verb, command.argument, more)
        except CommandError as error:
            return error.reply

    def fault(self, reply: Reply) -> Answer:
        """The answer to a line that is none."""
        self.commands += 1
        self._subject.begin("line")
        if reply is answers.BARE:
            self._subject.reason = f"a bare CR or LF from {self.session.client or 'a local client'}"
        self._login.cancel()
        return reply

    def response(self, line: bytes) -> Later:
        """A SASL response."""
        self._subject.begin("AUTH")
        return _then(self._login.respond(line), self._login_answered)

    def feed(self, data: bytes) -> bytes | None:
        """A piece of data; what follows its end, or None before that."""
        if self._chunk is not None and self._chunk.refusal is not None:
            return self._chunk.skip(data)
        assert self._mailing is not None
        assert self._mailing.reception is not None
        return self._mailing.reception.feed(data)

    def end_of_data(self) -> Later:
        """The answer to the message, after which the transaction is over whatever it is; or to one chunk of it."""
        self.receiving = False
        chunk, self._chunk = self._chunk, None
        if chunk is not None and (chunk.refusal is not None or not chunk.argument.last):
            return self._chunk_ended(chunk)
        assert self._mailing is not None
        self._subject.begin(_END_OF_DATA)
        return _then(self._mailing.end(), self._mail_answered)

    def refused(self, reply: Reply) -> Answer:
        """Every refusal comes by here before it is sent: it is journaled, and too many of them end the session."""
        if self._refusals is None:
            self._refusals = Refusals(self._house, self._subject)
        return self._refusals.answer(reply, self.session)

    def failed(self) -> Answer:
        """Something of ours broke where an answer was due: temporary (contract 4), and nothing is left half done."""
        self._login.cancel()
        if self._subject.command == _END_OF_DATA:
            return self._mail_answered(answers.LOCAL_FAILURE)
        return answers.CANNOT_GREET if self._subject.command == "connect" else answers.LOCAL_FAILURE

    def secured(self, tls: Tls, channel: SecureChannel | None = None) -> None:
        """The handshake is done. Nothing that was said in the clear is remembered (RFC 3207 4.2)."""
        self._login.forget()
        if channel is not None:
            self._login.secured(channel)
        self._reset()
        self._found = self._connected
        self.state = State.STRANGER
        self.session = attrs.evolve(self.session, tls=tls, hello="", esmtp=False, login="")

    def lost(self) -> None:
        """The connection is gone. An unfinished message is forgotten; one being committed is not."""
        if self._mailing is not None:
            self._mailing.give_up()
        self._login.leave()

    # Commands.

    def _perform(self, verb: Verb, argument: str, more: bool) -> Later | None:
        if verb is Verb.BDAT:
            return self._bdat(argument)
        if verb not in TABLE[self.state]:
            answer: Later = out_of_sequence(self.state, verb, self.session.lmtp)
        elif argument and verb in WITHOUT_ARGUMENT:
            answer = answers.NO_ARGUMENT
        elif verb is Verb.STARTTLS and more:
            answer = self._starttls_with_more()
        else:
            answer = _HANDLERS[verb](self, argument)
        if isinstance(answer, Answer):
            return self._answered(verb, more, answer)
        return afterwards(answer, partial(self._answered, verb, more))

    def _answered(self, verb: Verb, more: bool, answer: Answer) -> Answer:
        """Where the answer to a command leads."""
        reply = answer.reply if isinstance(answer, Turn) else answer
        if reply.positive:
            self._advance(TABLE[self.state][verb])
        elif verb is Verb.DATA and more:
            # The client did not wait for 354: what it sent behind DATA is a message, and must not become commands.
            return Turn(reply, Then.CLOSE)
        return answer

    def _advance(self, target: State | Next) -> None:
        if isinstance(target, State):
            self.state = target
        elif target is Next.READY:
            self.state = self._ready

    @property
    def _ready(self) -> State:
        return State.EXTENDED if self.session.esmtp else State.PLAIN

    def _greeted(self, found: Findings) -> Answer:
        if found.action in REFUSING:
            return Turn(reply_of(found, self._subject), Then.CLOSE)
        self._connected = self._found = found
        self._know(found)
        return Reply(220, "", f"{self._house.hostname} {'LMTP' if self.session.lmtp else 'ESMTP'} relaygw")

    def _hello(self, verb: Verb, argument: str) -> Later:
        if (verb is Verb.LHLO) is not self.session.lmtp:  # RFC 2033 4.1
            return answers.WANTS_LHLO if self.session.lmtp else answers.NO_LHLO
        extended = verb is not Verb.HELO
        name = parse_hello(argument)
        self._reset()
        # Until the filters have answered nothing is known of this client, whoever it said it was before.
        self.state = State.STRANGER
        self.session = greeted(self.session, name, esmtp=extended)
        return follow(self._ask(Phase.HELLO), self._hello_judged)

    def _hello_judged(self, found: Findings) -> Answer:
        if found.action in REFUSING:
            return reply_of(found, self._subject)
        self._found = found if self._connected is None else self._connected.then(found)
        self._know(self._found)
        self._extensions = understood(self._house, self.session)
        offers = offered(self._house, self.session, self._login) if self.session.esmtp else ()
        return Reply(250, "", "\n".join([self._house.hostname, *offers]))

    def _starttls(self, argument: str) -> Answer:
        if self.session.tls is not None:
            return answers.UNDER_TLS
        return answers.START_TLS if self._house.tls is not None else answers.NO_TLS

    def _starttls_with_more(self) -> Answer:
        """What came behind STARTTLS came in the clear; it is not executed, neither now nor later (RFC 3207 5)."""
        answer = self._starttls("")
        return answers.NOTHING_AFTER_STARTTLS if answer is answers.START_TLS else answer

    def _auth(self, argument: str) -> Later:
        return _then(self._login.begin(argument, self.session.tls is not None), self._login_answered)

    def _login_answered(self, answer: Answer) -> Answer:
        if self._login.name != self.session.login:
            self.session = attrs.evolve(self.session, login=self._login.name)
        return answer

    def _mail(self, argument: str) -> Later:
        refusal = self._house.permission.begin(self.session)
        if refusal is not None:
            return refusal
        if self._messages >= self._house.limits.messages:  # RFC 9422 4.1
            return answers.TOO_MANY_MESSAGES
        parsed = parse_mail(argument)
        envelope = begin_envelope(parsed.address, parsed.parameters, self._extensions)
        if envelope.size > self._house.limits.message_size:
            return answers.TOO_BIG
        pressure = self._house.pressure
        if pressure is not None and (refusal := pressure.refusal(envelope.size)) is not None:
            self._subject.reason = "; ".join(pressure.reasons) or "the disk has no room for its size"
            return refusal
        mailing = Mailing(self._house, self.session, self._subject, envelope, self._found)
        self._name(mailing)
        return _then(mailing.begin(), partial(self._mail_begun, mailing))

    def _mail_begun(self, mailing: Mailing, answer: Answer) -> Answer:
        if answer is answers.SENDER_OK:
            self._mailing = mailing
            self._messages += 1
            if self._house.inventory is not None:
                self._house.inventory.note(self.session, mailing.envelope.sender)
        return answer

    def _rcpt(self, argument: str) -> Later:
        assert self._mailing is not None
        self._name(self._mailing)
        utf8 = self._mailing.envelope.smtputf8
        parsed = parse_rcpt(argument, self._house.postmaster, utf8=utf8)
        assert parsed.address is not None  # the grammar knows no null forward-path
        recipient = make_recipient(parsed.address, parsed.parameters, self._extensions, utf8=utf8)
        self._subject.recipient = str(parsed.address)
        return self._mailing.recipient(recipient)

    def _data(self, argument: str) -> Answer:
        assert self._mailing is not None
        self._name(self._mailing)
        if self._mailing.envelope.body is Body.BINARY:  # RFC 3030 3
            return answers.BINARY_WANTS_BDAT
        answer = self._mailing.data()
        self.receiving = answer is answers.GO_AHEAD
        return answer

    def _bdat(self, argument: str) -> Later | None:
        """Whatever the answer will be, the octets behind the command are not commands (RFC 3030 2)."""
        try:
            chunk = parse_chunk(argument)
        except CommandError as error:
            return Turn(error.reply, Then.CLOSE)
        refusal: Reply | None
        if Verb.BDAT in TABLE[self.state]:
            assert self._mailing is not None
            refusal = self._mailing.chunk(chunk.size)
        else:
            refusal = out_of_sequence(self.state, Verb.BDAT)
        self._chunk = Chunk(chunk, refusal, chunk.size)
        self.receiving = chunk.size > 0
        return None if chunk.size else self.end_of_data()

    def _chunk_ended(self, chunk: Chunk) -> Answer:
        """The answer to a chunk that does not complete a message."""
        if self._mailing is not None:
            self._name(self._mailing)
        refusal = chunk.refusal
        if refusal is None and self._mailing is not None:
            refusal = self._mailing.chunk_flaw()
        if refusal is None:
            self.state = State.CHUNKS
            return Reply(250, "2.0.0", f"{chunk.argument.size} octets received")
        self._spoil(chunk.argument.last)
        return refusal

    def _spoil(self, last: bool) -> None:
        """A chunk of a message was refused, and so are those that may be on their way behind it."""
        if self.state in (State.RECIPIENTS, State.CHUNKS, State.SPOILT):
            self._reset()
            self.state = self.state if last else State.SPOILT

    def _rset(self, argument: str) -> Answer:
        self._reset()
        return answers.OK

    def _name(self, mailing: Mailing) -> None:
        self._subject.queue_id = mailing.queue_id
        self._subject.sender = path(mailing.envelope.sender)

    def _mail_answered(self, answer: Answer) -> Answer:
        copies = 1
        if self._mailing is not None:
            self._name(self._mailing)
            self._subject.recipients = self._mailing.recipients
            copies = self._mailing.accepted if self.session.lmtp else 1
        self._reset()
        if self._refusals is not None and isinstance(answer, Reply) and answer.positive:
            self._refusals.errors = 0
        return answer if copies == 1 or isinstance(answer, Turn) else Turn(answer, times=copies)

    def _reset(self) -> None:
        """No transaction is under way any more (RFC 5321 4.1.1.5)."""
        if self._mailing is not None:
            self._mailing.give_up()
            self._mailing = None
        self.receiving = False
        if self.state is not State.STRANGER:
            self.state = self._ready

    # What filters are asked about the session.

    def _ask(self, phase: Phase) -> Findings | Awaitable[Findings]:
        return self._house.chain.ask(phase, Transaction(session=self.session, envelope=_NO_ENVELOPE))

    def _know(self, found: Findings) -> None:
        if found.results:
            self.session = attrs.evolve(self.session, results=dict(found.results))


def _then(answer: Later, function: Callable[[Answer], Answer]) -> Later:
    """What `function` makes of an answer given now or later."""
    return function(answer) if isinstance(answer, Answer) else afterwards(answer, function)


_HANDLERS: Mapping[Verb, Callable[[Conversation, str], Later]] = {
    Verb.EHLO: lambda conversation, argument: conversation._hello(Verb.EHLO, argument),
    Verb.HELO: lambda conversation, argument: conversation._hello(Verb.HELO, argument),
    Verb.LHLO: lambda conversation, argument: conversation._hello(Verb.LHLO, argument),
    Verb.STARTTLS: Conversation._starttls,
    Verb.AUTH: Conversation._auth,
    Verb.MAIL: Conversation._mail,
    Verb.RCPT: Conversation._rcpt,
    Verb.DATA: Conversation._data,
    Verb.RSET: Conversation._rset,
    Verb.NOOP: lambda conversation, argument: answers.OK,
    Verb.VRFY: lambda conversation, argument: answers.CANNOT_VERIFY if parse_verify(argument) else answers.UNKNOWN,
    Verb.EXPN: lambda conversation, argument: answers.NO_EXPN,
    Verb.HELP: lambda conversation, argument: answers.HELP,
    Verb.QUIT: lambda conversation, argument: answers.GOODBYE,
}
