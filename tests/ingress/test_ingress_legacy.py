"""The legacy listener: rewritten once and only what was asked, missing fields, and the list of who still needs it."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
from ingress_rig import HELLO, RCPT, Rig, Scripted
from zope.interface import implementer

from relaygw.bridge import as_deferred
from relaygw.core.content import BytesContent
from relaygw.core.envelope import Envelope
from relaygw.core.events import LineEndsRepaired, OldClient, Refused, Rewritten, TaskFailed
from relaygw.core.session import Role, Session, Tls
from relaygw.core.verdict import PASS, Phase
from relaygw.ingress.house import RewriterUse
from relaygw.ingress.inventory import DAY, MAX_CLIENTS, Inventory
from relaygw.ingress.rewriting import PIECES, with_head
from relaygw.interfaces import IRewriter
from relaygw.rewriters.author import AuthorRewriter
from relaygw.spool.sink import Sink

SERVICES: Any = SimpleNamespace(settings=SimpleNamespace(local_domains=("here.test",), relay_domains=()))


def from_address(**options: Any) -> RewriterUse:
    return RewriterUse("ours", AuthorRewriter({"address": "devices@here.test", **options}, SERVICES))


def legacy(**house: Any) -> Rig:
    return Rig(**{"line_ends": "repair", "adds_fields": True, "rewriters": (from_address(),), **house})


SCAN = "From: scan@printer.local\nSubject: page 1\n\n" + "a line\n" * 1000


def test_a_scanner_that_knows_nothing_sends_mail_that_others_will_take() -> None:
    rig = legacy()
    client = rig.connect()
    said = client.codes(
        f"HELO scanner\nMAIL FROM:<scan@printer.local>\nRCPT TO:<user@here.test>\nDATA\n{SCAN}.\nQUIT\n"
    )
    assert said == [250, 250, 250, 354, 250, 221]
    (record,), (stored,) = rig.records(), rig.stored()
    assert str(record.envelope.sender) == "devices@here.test"
    assert record.header_from == "here.test"
    assert record.size == len(stored)
    head, _, body = stored.partition(b"\r\n\r\n")
    assert b'From: "scan@printer.local"\r\n <devices@here.test>\r\nSubject: page 1' in head
    assert head.count(b"\r\nFrom:") == 1
    assert b"\r\nDate: " in head
    assert f"\r\nMessage-ID: {record.message_id}".encode() in head
    assert body == b"a line\r\n" * 1000
    (repaired,) = rig.said(LineEndsRepaired)
    assert (repaired.client, repaired.listener, repaired.line_ends) == ("192.0.2.1", "in", "repair")
    (changed,) = rig.said(Rewritten)
    assert (changed.rewriter, changed.sender, changed.header_from) == ("ours", "<devices@here.test>", "here.test")


def test_nothing_is_changed_where_nothing_was_asked_for() -> None:
    rig = Rig()
    client = rig.connect()
    body = "from: scan@printer.local\r\nX: \t odd  \r\n\r\nbody\r\n"
    client.send(HELLO + "MAIL FROM:<scan@printer.local>\r\n" + RCPT + f"DATA\r\n{body}.\r\n")
    assert rig.stored()[0].endswith(body.encode())
    assert b"Date:" not in rig.stored()[0]
    assert rig.said(Rewritten) == rig.said(LineEndsRepaired) == []


def test_filters_see_what_came_in() -> None:
    seen: list[bytes] = []

    def look(transaction: Any) -> Any:
        seen.append(b"".join(transaction.content.chunks()))
        return PASS

    rig = legacy(filters=[Scripted({Phase.DATA: look})])
    rig.connect().send(f"HELO s\nMAIL FROM:<scan@printer.local>\nRCPT TO:<user@here.test>\nDATA\n{SCAN}.\n")
    assert seen == [SCAN.replace("\n", "\r\n").encode()]


def test_a_rewriter_that_breaks_makes_the_message_wait() -> None:
    @implementer(IRewriter)
    class Broken:
        def rewrite(self, envelope: Envelope, head: bytes) -> tuple[Envelope, bytes]:
            raise RuntimeError("no")

    rig = legacy(rewriters=(RewriterUse("broken", Broken()),))
    client = rig.connect()
    assert client.codes(f"HELO s\nMAIL FROM:<a@b.test>\nRCPT TO:<user@here.test>\nDATA\n{SCAN}.\n")[-1] == 451
    assert rig.stored() == []
    assert [event.error for event in rig.said(TaskFailed)] == ["RuntimeError: no"]
    assert client.codes("NOOP\n") == [250]


def test_rewriters_work_in_their_order() -> None:
    @implementer(IRewriter)
    @attrs.frozen
    class Adds:
        text: bytes

        def rewrite(self, envelope: Envelope, head: bytes) -> tuple[Envelope, bytes]:
            return envelope, self.text + head

    rig = legacy(rewriters=(RewriterUse("one", Adds(b"X: 1\r\n")), RewriterUse("two", Adds(b"X: 2\r\n"))))
    rig.connect().send("HELO s\nMAIL FROM:<a@b.test>\nRCPT TO:<user@here.test>\nDATA\nFrom: <a@b.test>\n\nbody\n.\n")
    assert rig.stored()[0].endswith(b"X: 2\r\nX: 1\r\nFrom: <a@b.test>\r\n\r\nbody\r\n")
    assert [event.rewriter for event in rig.said(Rewritten)] == ["one", "two"]


@pytest.mark.parametrize("body", [b"", b"\r\n", b"\r\nbody\r\n", b"\r\n\r\n"])
@pytest.mark.parametrize("head", [b"", b"Subject: x\r\n"])
def test_a_new_head_goes_before_the_same_body(head: bytes, body: bytes) -> None:
    rig = Rig()
    sink = Sink()
    sink.write(head + body)
    results: list[Any] = []
    as_deferred(with_head(rig.house, sink, b"New: 1\r\n")).addBoth(results.append)
    assert b"".join(results[0].content().chunks()) == b"New: 1\r\n" + body
    with pytest.raises(Exception, match="given up"):
        sink.write(b"more")


def test_a_large_body_is_copied_in_turns() -> None:
    rig = Rig()

    class Large(Sink):
        def content(self) -> Any:
            return Chunked(b"")

    class Chunked(BytesContent):
        def chunks(self, start: int = 0) -> Iterator[bytes]:
            return iter([b"x"] * (2 * PIECES + 1))

    results: list[Any] = []
    as_deferred(with_head(rig.house, Large(), b"")).addBoth(results.append)
    assert results == []  # others get their turn
    rig.clock.advance(0)
    assert results[0].size == 2 * PIECES + 1


def test_a_sink_that_fails_while_it_is_copied_leaves_nothing() -> None:
    rig = legacy()
    sinks: list[Sink] = []

    class Failing(Sink):
        def write(self, data: bytes) -> None:
            if len(sinks) > 1:
                raise OSError("disk full")
            super().write(data)

    def sink() -> Sink:
        sinks.append(Failing())
        return sinks[-1]

    rig.spool.sink = sink  # type: ignore[method-assign]
    client = rig.connect()
    assert client.codes(f"HELO s\nMAIL FROM:<a@b.test>\nRCPT TO:<user@here.test>\nDATA\n{SCAN}.\n")[-1] == 451
    assert [each._closed for each in sinks] == ["it was given up"] * 2
    assert rig.stored() == []


# Who needs it


def session(client: str, version: str = "") -> Session:
    tls = Tls(version=version, cipher="x") if version else None
    return Session(id="s", listener="old", role=Role.MX, client=client, tls=tls, hello="printer", login="p")


def test_each_client_is_told_once_a_day_for_each_way_it_comes() -> None:
    told: list[Any] = []
    now = [0.0]
    inventory = Inventory(told.append, lambda: now[0])
    for version in ("", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3", ""):
        inventory.note(session("192.0.2.1", version), None)
    assert [event.tls for event in told] == ["", "TLSv1", "TLSv1.1"]
    assert told[0] == OldClient(
        session="s", client="192.0.2.1", listener="old", hello="printer", login="p", sender="<>"
    )
    now[0] = DAY - 1
    inventory.note(session("192.0.2.1"), None)
    assert len(told) == 3
    now[0] = DAY
    inventory.note(session("192.0.2.1"), None)
    assert len(told) == 4


def test_the_list_is_bounded() -> None:
    told: list[Any] = []
    inventory = Inventory(told.append, lambda: 0.0)
    for number in range(MAX_CLIENTS + 1):
        inventory.note(session(str(number)), None)
    inventory.note(session(str(MAX_CLIENTS)), None)
    assert len(told) == MAX_CLIENTS + 1
    inventory.note(session("0"), None)
    assert len(told) == MAX_CLIENTS + 2


def test_the_listener_notes_who_sends_mail() -> None:
    rig = Rig()
    rig = Rig(inventory=Inventory(rig.events.append, rig.clock.seconds), clock=rig.clock)
    noted = rig.house.inventory
    assert noted is not None
    client = rig.connect()
    client.send(HELLO + "MAIL FROM:<>\r\nRSET\r\nMAIL FROM:<a@b.test>\r\n")
    assert list(noted._told) == [("192.0.2.1", "")]


def test_smuggling_is_journaled_with_the_peer() -> None:
    rig = Rig()
    client = rig.connect()
    client.send(HELLO + "MAIL FROM:<a@client.test>\r\n" + RCPT + "DATA\r\na\n.\nb\r\n.\r\n")
    client.send("NO\nOP\r\n")
    assert [event.reason for event in rig.said(Refused)] == ["a bare CR or LF from 192.0.2.1"] * 2
