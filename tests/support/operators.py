"""For tests of what operators see: a queue in memory with real operations, and HTTP without sockets."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from least_configuration import LEAST
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.web.server import Site

from relaygw.bans import BanBook
from relaygw.cli.direct import run_now
from relaygw.config.load import parse
from relaygw.config.schema import Config, QueueConfig
from relaygw.control.collaborators import Collaborators, Reread
from relaygw.core.address import Address, parse_address
from relaygw.core.bans import Policy
from relaygw.core.envelope import Envelope, Recipient
from relaygw.core.events import Event
from relaygw.core.lifecycle import begin
from relaygw.core.outcome import deferred
from relaygw.core.record import Record
from relaygw.dns import FixedResolver
from relaygw.interfaces import Account
from relaygw.queue.operations import Operations
from relaygw.queue.reports import reports_of
from relaygw.queue.traffic import schedule_of
from relaygw.queue.trash import Trash
from relaygw.spool.memory import MemorySpool

NOW = 1_800_000_000.0

_SPECIFIC = """\
[[filter]]
use = "spf"
[[route]]
name = "local"
match = { recipient = ["local"] }
transport = "maildir"
[[route]]
name = "partner"
match = { recipient = ["partner.example"] }
transport = "smarthost"
host = "in.partner.example"
port = 2525
username = "we"
password_file = "secret"
[[route]]
name = "drop"
match = { recipient = ["drop.example"] }
transport = "discard"
[[route]]
name = "world"
transport = "mx"
[[dkim]]
domain = "example.com"
selector = "s1"
private_key = "k.pem"
"""
CONFIG = LEAST + _SPECIFIC

ZONE = """\
$TTL 300
world.example.      IN MX 10 mx.world.example.
mx.world.example.   IN A 192.0.2.1
mx.world.example.   IN AAAA 2001:db8::1
in.partner.example. IN A 192.0.2.2
null.example.       IN MX 0 .
"""


def message(queue_id: str, sender: str = "a@example.com", *recipients: str, reply: str = "", **more: Any) -> Record:
    """A record that arrived a minute ago; with a `reply`, each recipient was deferred with it once."""
    envelope = Envelope(
        sender=parse_address(sender) if sender else None,
        recipients=tuple(Recipient(address=parse_address(each)) for each in recipients or ("b@world.example",)),
    )
    record = begin(queue_id=queue_id, envelope=envelope, now=NOW - 60, **more)
    if not reply:
        return record
    tried = [
        attrs.evolve(state, attempts=1, due=NOW + 240, last=deferred(state.address, "4.3.0", reply))
        for state in record.recipients
    ]
    return attrs.evolve(record, recipients=tuple(tried))


class Office:
    """A queue with what stands around it, all in memory. `traced` is what the journal would find."""

    def __init__(self, *records: Record, config: Config | None = None) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.config = config or parse(CONFIG, "/etc/relaygw/relaygw.toml")
        self.spool = MemorySpool()
        self.events: list[Event] = []
        self.traced: list[Mapping[str, Any]] = []
        self.problems: Sequence[str] = ()
        self.waiting: Sequence[str] = ()
        self.counts: Counter[tuple[str, str]] = Counter(
            {("accepted", "received"): 3, ("authentication", "spf=pass"): 2}
        )
        for record in records:
            sink = self.spool.sink()
            sink.write(b"Subject: x\r\n\r\n")
            run_now(self.spool.commit(record, sink, b"", 0.0))
        self.operations = Operations(
            spool=self.spool,
            reports=reports_of("mail.example.com", "", lambda: "report"),
            schedule=schedule_of(QueueConfig()),
            now=self.clock.seconds,
            write_event=self.events.append,
        )
        self.trash = Trash(
            spool=self.spool,
            operations=self.operations,
            age=86400.0,
            now=self.clock.seconds,
            write_event=self.events.append,
        )
        self.parts = Collaborators(
            settings=lambda: self.config,
            queue=self.operations,
            trace=self._trace,
            reload=self._reload,
            status=lambda: {"messages": 2, "queue": {"active": 1}},
            counts=lambda: self.counts,
            account=_account,
            resolver=FixedResolver.from_zone(ZONE),
            clock=self.clock.seconds,
            bans=BanBook("", Policy(), self.clock, self.events.append),
            trash=self.trash,
            signing=_signing,
        )

    async def _trace(self, text: str, limit: int) -> Sequence[Mapping[str, Any]]:
        return self.traced[:limit] if text == "known" else []

    async def _reload(self) -> Reread:
        return Reread(problems=self.problems, waiting=self.waiting)


def _signing(record: Record) -> list[dict[str, str]]:
    return [{"domain": "example.com", "selector": "s1"}] if record.header_from == "example.com" else []


def _account(address: Address) -> Account | None:
    return Account(name="alice", addresses=(address,), mailbox="alice") if address.local == "alice" else None


@attrs.frozen
class Answered:
    """An HTTP response. `headers` in lower case, each with its last value."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


def ask(site: Site, method: str, target: str, body: bytes = b"", **headers: str) -> Answered:
    """One request over a connection of its own, in memory."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if body or method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return send(site, "\r\n".join([*lines, "", ""]).encode() + body)


def send(site: Site, data: bytes) -> Answered:
    """Octets in, the response out."""
    protocol = site.buildProtocol(None)
    assert protocol is not None
    transport = StringTransport()
    protocol.makeConnection(transport)
    protocol.dataReceived(data)
    head, _, rest = transport.value().partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    chunked = headers.get("transfer-encoding") == "chunked"
    return Answered(int(first.split()[1]), headers, _dechunk(rest) if chunked else rest)


def _dechunk(data: bytes) -> bytes:
    found = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        found, data = found + data[:length], data[length + 2 :]
    return found
