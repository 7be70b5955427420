"""What the tests of egress share: records, services, and next hops in memory that behave as told."""

import errno
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any

from results import at_once as result
from twisted.internet import error
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from relaygw.config.schema import Config, EgressConfig
from relaygw.core.address import parse_address
from relaygw.core.content import BytesContent, Content
from relaygw.core.envelope import Envelope, Recipient
from relaygw.core.mx import Target
from relaygw.core.outcome import Outcome
from relaygw.core.question import Answer, AnswerStatus, Question
from relaygw.core.record import RecipientState, Record, Route
from relaygw.egress.client import Session
from relaygw.egress.hop import Hop, Manners, TlsMode
from relaygw.egress.keyring import make_keyring
from relaygw.egress.message import in_thread, prepare
from relaygw.egress.opener import Opener
from relaygw.egress.transaction import send
from relaygw.interfaces import Attempt, Services

CLOSE = b"<close>"
"""In place of a reply: the server closes the connection."""

SILENCE = b""
"""In place of a reply: nothing comes, and nothing more after it."""

MANNERS = Manners(
    hostname="relay.example",
    connect_timeout=30,
    greeting_timeout=300,
    hello_timeout=250,
    command_timeout=200,
    data_start_timeout=120,
    data_block_timeout=180,
    data_timeout=600,
    idle_timeout=10,
    messages_per_connection=100,
)
TARGET = Target(host="mx.example.org", address="192.0.2.1")
CLEAR = Hop(tls=TlsMode.NONE)


def make_record(*recipients: str | Recipient, sender: str = "a@example.com", **facts: Any) -> Record:
    """A record; an empty sender is the null reverse-path."""
    forward = tuple(
        each if isinstance(each, Recipient) else Recipient(address=parse_address(each))
        for each in recipients or ("b@example.org",)
    )
    options = {name: facts.pop(name) for name in ("body", "smtputf8", "requiretls", "ret", "envid") if name in facts}
    envelope = Envelope(sender=parse_address(sender) if sender else None, recipients=forward, **options)
    states = tuple(RecipientState(recipient=recipient) for recipient in forward)
    return Record(queue_id="0123456789abcdef", envelope=envelope, arrived=0.0, recipients=states, **facts)


def make_attempt(
    record: Record,
    route: Route,
    content: bytes | Content = b"Subject: x\r\n\r\nbody\r\n",
    prepared: object = None,
) -> Attempt:
    held = BytesContent(content) if isinstance(content, bytes) else content
    return Attempt(
        record=record, recipients=record.recipients, route=route, content=held, started=0.0, prepared=prepared
    )


class Server:
    """A next hop in memory. `answers` maps a verb (or "greeting", "end" …) to one reply or the list of its replies.

    The last of a list repeats. A reply may be CLOSE, SILENCE, or any bytes with several lines. `early` is said after
    so many octets of content, before its end.
    """

    def __init__(
        self,
        offers: Iterable[str] = ("PIPELINING", "SIZE 0"),
        early: tuple[int, bytes] | None = None,
        **answers: bytes | list[bytes],
    ) -> None:
        self.offers = list(offers)
        self.answers = {
            verb: list(replies) if isinstance(replies, list) else [replies] for verb, replies in answers.items()
        }
        self.commands: list[str] = []
        self.messages: list[bytes] = []
        self.raw = b""
        self.reads: list[bytes] = []  # what came in one piece, to see what travelled together
        self._buffer = b""
        self._in_data = False
        self._mute = False
        self._early = early

    def greet(self) -> bytes:
        return self._answer("greeting", b"220 mx.example.org ESMTP\r\n")

    def receive(self, data: bytes) -> bytes:
        self.raw += data
        self.reads.append(data)
        self._buffer += data
        out = b""
        while not self._mute:
            reply = self._content() if self._in_data else self._command()
            if reply is None:
                return out
            out += reply
            self._mute = self._mute or reply == SILENCE
        return out

    def _answer(self, verb: str, default: bytes) -> bytes:
        replies = self.answers.get(verb)
        if not replies:
            return default
        return replies.pop(0) if len(replies) > 1 else replies[0]

    def _command(self) -> bytes | None:
        line, found, rest = self._buffer.partition(b"\r\n")
        if not found:
            return None
        self._buffer = rest
        self.commands.append(line.decode("utf-8"))
        verb = line.split(b" ")[0].decode().upper()
        return self._answer(verb.lower(), self._usual(verb, line)) if verb != "DATA" else self._data()

    def _usual(self, verb: str, line: bytes) -> bytes:
        if verb in ("EHLO", "LHLO"):
            lines = ["mx.example.org", *self.offers]
            last = len(lines) - 1
            return "".join(f"250{' ' if n == last else '-'}{text}\r\n" for n, text in enumerate(lines)).encode()
        if verb == "QUIT":
            return b"221 2.0.0 bye\r\n" + CLOSE
        return b"250 2.0.0 ok\r\n"

    def _data(self) -> bytes:
        reply = self._answer("data", b"354 go ahead\r\n")
        self._in_data = reply.startswith(b"354")
        return reply

    def _content(self) -> bytes | None:
        """The reference decoder: only CRLF.CRLF ends, a leading dot of a line goes."""
        if self._early is not None and len(self._buffer) > self._early[0]:
            self._mute = True
            return self._early[1]
        text = b"\r\n" + self._buffer
        end = text.find(b"\r\n.\r\n")
        if end < 0:
            return None
        self._buffer = text[end + 5 :]
        self._in_data = False
        self.messages.append((text[: end + 2].replace(b"\r\n.", b"\r\n"))[2:])
        return self._answer("end", b"250 2.0.0 queued\r\n")


class ChunkServer(Server):
    """A Server that takes BDAT as well; each piece is one of its messages."""

    def _command(self) -> bytes | None:
        line, found, rest = self._buffer.partition(b"\r\n")
        if not found or not line.startswith(b"BDAT "):
            return super()._command()
        size = int(line.split()[1])
        if len(rest) < size:
            return None
        self.commands.append(line.decode())
        self.messages.append(rest[:size])
        self._buffer = rest[size:]
        return self._answer("bdat", b"250 2.0.0 queued\r\n")


class Wire:
    """The transport between a protocol of ours and a Server; `pump` carries the bytes."""

    def __init__(self, server: Server, protocol: Any, single_octets: bool, limit: int, stall_after: int) -> None:
        self.server = server
        self.protocol = protocol
        self.out: list[bytes] = []
        self.closed = self.aborted = False
        self.lost = False
        self.producer: Any = None
        self.most = 0
        self.taken = 0
        self._limit = limit
        self._stall_after = stall_after
        self._single = single_octets

    # What the protocol calls.

    def write(self, data: bytes) -> None:
        assert isinstance(data, bytes)
        if not self.closed:
            self.out.append(data)
            waiting = sum(map(len, self.out))
            self.most = max(self.most, waiting)
            if self.producer is not None and self._limit and waiting > self._limit:
                self.producer.pauseProducing()

    def loseConnection(self) -> None:
        self.closed = True

    def abortConnection(self) -> None:
        self.closed = self.aborted = True
        self.out = []

    def setTcpNoDelay(self, on: bool) -> None:
        assert on

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert streaming
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    # What the test calls.

    def feed(self, data: bytes) -> None:
        """Bytes from the server; CLOSE among them ends the connection."""
        text, close, _ = data.partition(CLOSE)
        pieces = [text[n : n + 1] for n in range(len(text))] if self._single else [text] if text else []
        for piece in pieces:
            if not self.lost:
                self.protocol.dataReceived(piece)
        if close:
            self.lose()

    def lose(self, reason: Exception | None = None) -> None:
        if not self.lost:
            self.lost = self.closed = True
            self.protocol.connectionLost(Failure(reason or error.ConnectionDone()))

    def pump(self) -> bool:
        """One round: whether anything happened."""
        if self.lost:
            return False
        if self.aborted:
            self.lose(error.ConnectionAborted())
            return True
        if self._stall_after and self.taken > self._stall_after:
            return False
        data, self.out = b"".join(self.out), []
        self.taken += len(data)
        if data:
            if self.producer is not None:
                self.producer.resumeProducing()
            self.feed(self.server.receive(data))
            return True
        if self.closed:
            self.lose()
            return True
        return False


class MemoryReactor(Clock):
    """Clock, connections and threads without a network. `servers` answers an address and port with a Server or None."""

    def __init__(self, servers: Callable[[str, int], Server | None], single_octets: bool = False) -> None:
        super().__init__()
        self._servers = servers
        self._single = single_octets
        self.wires: list[Wire] = []
        self.limit = 0  # octets unsent above which a wire asks for a pause
        self.stall_after = 0  # octets after which a wire takes no more
        self.connections: list[tuple[str, int]] = []
        self._starting: list[Callable[[], None]] = []
        self.out_of_sockets = False
        self.slow_threads = False  # threads answer only when the network has nothing more to say
        self._thought: list[Callable[[], None]] = []

    def connectTCP(self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None) -> None:
        self.connections.append((host, port))
        factory.doStart()
        server = self._servers(host, port)

        def start() -> None:
            if self.out_of_sockets:
                factory.clientConnectionFailed(None, Failure(error.ConnectBindError(errno.EMFILE, "too many")))
                return
            if server is None:
                factory.clientConnectionFailed(None, Failure(error.ConnectionRefusedError()))
                return
            protocol = factory.buildProtocol(None)
            wire = self.make_wire(server, protocol)
            self.wires.append(wire)
            protocol.makeConnection(wire)
            wire.feed(server.greet())

        self._starting.append(start)

    def make_wire(self, server: Server, protocol: Any) -> Wire:
        return Wire(server, protocol, self._single, self.limit, self.stall_after)

    def getThreadPool(self) -> "MemoryReactor":
        return self

    def callInThreadWithCallback(self, told: Callable[..., None], function: Callable[..., Any], *args: Any) -> None:
        try:
            result = function(*args)
        except Exception:
            answer = partial(told, False, Failure())
        else:
            answer = partial(told, True, result)
        if self.slow_threads:
            self._thought.append(answer)
        else:
            answer()

    def callFromThread(self, function: Callable[..., None], *args: Any) -> None:
        function(*args)

    def settle(self) -> None:
        """Until nothing moves any more."""
        for _ in range(10_000):
            starting, self._starting = self._starting, []
            for start in starting:
                start()
            if any(wire.pump() for wire in self.wires) or starting:
                continue
            if not self._thought:
                return
            self._thought.pop(0)()
        raise AssertionError("the conversation does not come to an end")

    def pass_time(self, seconds: float) -> None:
        self.advance(seconds)
        self.settle()


def run(reactor: MemoryReactor, coroutine: Coroutine[Any, Any, Any]) -> Deferred[Any]:
    """Begin and let everything happen that happens without time passing."""
    deferred = Deferred.fromCoroutine(coroutine)
    reactor.settle()
    return deferred


def pending(deferred: Deferred[Any]) -> bool:
    return not deferred.called


async def converse(
    reactor: MemoryReactor,
    record: Record,
    content: bytes | Content = b"Subject: x\r\n\r\nbody\r\n",
    hop: Hop = CLEAR,
    manners: Manners = MANNERS,
) -> tuple[Session, tuple[Outcome, ...]]:
    """A whole conversation with one next hop: open, send."""
    held = BytesContent(content) if isinstance(content, bytes) else content
    session = await make_opener(reactor, manners).open(TARGET, hop)
    message = await prepare(record.envelope, b"", held, in_thread(reactor))
    return session, await send(session, message, record.envelope.recipients, manners)


def outcomes_with(server: Server, record: Record | None = None, **facts: Any) -> tuple[Outcome, ...]:
    """The outcomes of one conversation with a server."""
    reactor = MemoryReactor(lambda address, port: server)
    found = result(run(reactor, converse(reactor, record or make_record(), **facts)))
    outcomes: tuple[Outcome, ...] = found[1]
    return outcomes


def make_opener(reactor: Any, manners: Manners = MANNERS) -> Opener:
    return Opener(reactor, manners, make_keyring(make_services(reactor)))


class DictResolver:
    """Answers from a dict of (name, type) to records, or to an AnswerStatus."""

    def __init__(self, known: dict[tuple[str, str], Any]) -> None:
        self._known = known
        self.asked: list[Question] = []

    async def ask(self, question: Question) -> Answer:
        self.asked.append(question)
        found = self._known.get((question.name, question.type))
        if isinstance(found, AnswerStatus):
            return Answer(status=found, reason="scripted")
        if found is None:
            known = any(name == question.name for name, _ in self._known)
            return Answer(status=AnswerStatus.NO_DATA if known else AnswerStatus.NO_NAME)
        return Answer(status=AnswerStatus.FOUND, records=tuple(found))


def make_services(reactor: Any, resolver: Any = None, signer: Any = None, **egress: Any) -> Services:
    settings = Config(hostname="relay.example", state="/nonexistent", egress=EgressConfig(**egress))
    return Services(
        hostname="relay.example",
        resolver=resolver,
        reactor=reactor,
        state="/nonexistent",
        spawn=lambda name, awaitable: None,
        settings=settings,
        signer=signer,
    )
