"""Final delivery: one outcome per recipient, our two fields on top, every failure temporary but a missing mailbox."""

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from mailboxes import inline_store, services_for
from results import at_once
from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from relaygw.core.address import Address
from relaygw.core.content import BytesContent
from relaygw.core.envelope import Body, Envelope, Recipient
from relaygw.core.outcome import Outcome, Status
from relaygw.core.record import RecipientState, Record, Route
from relaygw.interfaces import Account, Attempt, IRouteChecker, ITransport
from relaygw.mailbox.transport import MaildirTransport

CONTENT = b"Received: by mx\r\nSubject: hi\r\n\r\n.body \xff\r\nno end"
SENDER = Address("s", "example.net")
ALICE, BOB, NOBODY = (Address(name, "example.com") for name in ("alice", "bob", "nobody"))


class Directory:
    """alice and bob exist; bob also receives what is for bob+tag; `asked` raises where a test wants it."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def account(self, address: Address) -> Account | None:
        if self.error is not None:
            raise self.error
        name = address.local.partition("+")[0]
        return Account(name=name, addresses=(address,), mailbox=name) if name in ("alice", "bob") else None


def attempt(*recipients: Address, sender: Address | None = SENDER, content: Any = None) -> Attempt:
    states = tuple(RecipientState(recipient=Recipient(address=address)) for address in recipients)
    envelope = Envelope(sender=sender, recipients=tuple(state.recipient for state in states))
    record = Record(queue_id="q", envelope=envelope, arrived=0.0, recipients=states)
    return Attempt(
        record=record,
        recipients=states,
        route=Route(transport="maildir"),
        content=content or BytesContent(CONTENT),
        started=0.0,
    )


def transport(path: Path, store: Any = None, directory: Any = None, **options: Any) -> MaildirTransport:
    services = attrs.evolve(
        services_for(path), directory=directory or Directory(), store=store or inline_store(path / "mail")
    )
    return MaildirTransport(options, services)


def stored(path: Path, name: str, folder: str = "") -> list[bytes]:
    return [file.read_bytes() for file in (path / "mail" / name / folder / "new").iterdir()]


def test_it_is_a_transport(tmp_path: Path) -> None:
    subject = transport(tmp_path)
    assert verifyObject(ITransport, subject)
    assert subject.destination(Route(transport="maildir"), ALICE) == subject.destination(
        Route(transport="maildir"), BOB
    )
    at_once(subject.stop())


def test_a_delivered_message_has_our_fields_on_top_and_every_octet_below(tmp_path: Path) -> None:
    (outcome,) = at_once(transport(tmp_path).deliver(attempt(ALICE)))
    assert (outcome.recipient, outcome.status) == (ALICE, Status.DELIVERED)
    assert (outcome.reply.code, outcome.reply.enhanced, outcome.remote) == (250, "2.1.5", False)
    assert stored(tmp_path, "alice") == [
        b"Return-Path: <s@example.net>\r\nDelivered-To: alice@example.com\r\n" + CONTENT
    ]


def test_binary_parts_are_kept_as_base64(tmp_path: Path) -> None:
    """And whoever did not say BINARYMIME gets every octet kept, whatever the labels say."""
    content = b"MIME-Version: 1.0\r\nContent-Transfer-Encoding: binary\r\n\r\n\0\n\r"
    for body, kept in ((Body.BINARY, b"base64\r\n\r\nAAoN\r\n"), (Body.SEVEN_BIT, b"binary\r\n\r\n\0\n\r")):
        asked = attempt(ALICE, content=BytesContent(content))
        envelope = attrs.evolve(asked.record.envelope, body=body)
        at_once(
            transport(tmp_path / body.value).deliver(
                attrs.evolve(asked, record=attrs.evolve(asked.record, envelope=envelope))
            )
        )
        assert stored(tmp_path / body.value, "alice")[0].endswith(kept)


def test_the_null_reverse_path_is_written_as_such(tmp_path: Path) -> None:
    at_once(transport(tmp_path).deliver(attempt(ALICE, sender=None)))
    assert stored(tmp_path, "alice")[0].startswith(b"Return-Path: <>\r\n")


def test_each_recipient_has_one_outcome_in_order(tmp_path: Path) -> None:
    outcomes = at_once(transport(tmp_path).deliver(attempt(NOBODY, BOB, ALICE)))
    assert [(o.recipient, o.status, o.reply.enhanced) for o in outcomes] == [
        (NOBODY, Status.FAILED, "5.1.1"),
        (BOB, Status.DELIVERED, "2.1.5"),
        (ALICE, Status.DELIVERED, "2.1.5"),
    ]


def test_two_addresses_of_one_mailbox_get_a_copy_each(tmp_path: Path) -> None:
    at_once(transport(tmp_path).deliver(attempt(BOB, Address("bob+tag", "example.com"))))
    tops = {message.split(b"\r\n")[1] for message in stored(tmp_path, "bob")}
    assert tops == {b"Delivered-To: bob@example.com", b"Delivered-To: bob+tag@example.com"}


def test_a_folder_may_be_named(tmp_path: Path) -> None:
    at_once(transport(tmp_path, folder="Lists/All").deliver(attempt(ALICE)))
    assert len(stored(tmp_path, "alice", ".Lists.All")) == 1


@pytest.mark.parametrize(
    ("error", "enhanced"),
    [
        (OSError(errno.ENOSPC, "x"), "4.3.1"),
        (OSError(errno.EDQUOT, "x"), "4.2.2"),
        (OSError(errno.EIO, "/secret/path"), "4.3.0"),
        (RuntimeError("/secret/path"), "4.3.0"),
        (ValueError("mailbox"), "4.3.0"),
    ],
)
def test_every_failure_is_temporary_and_tells_no_path(tmp_path: Path, error: Exception, enhanced: str) -> None:
    class Failing:
        async def deliver(self, *args: object) -> None:
            raise error

    (outcome,) = at_once(transport(tmp_path, store=Failing()).deliver(attempt(ALICE)))
    assert (outcome.status, outcome.reply.enhanced) == (Status.DEFERRED, enhanced)
    assert "secret" not in outcome.reply.text


def test_a_directory_that_cannot_be_asked_is_temporary(tmp_path: Path) -> None:
    directory = Directory(ConnectionError("ldap is away"))
    (outcome,) = at_once(transport(tmp_path, directory=directory).deliver(attempt(NOBODY)))
    assert outcome.status is Status.DEFERRED


def test_content_that_breaks_half_way_is_not_delivered(tmp_path: Path) -> None:
    class Broken(BytesContent):
        def chunks(self, start: int = 0) -> Iterator[bytes]:
            yield self.data
            raise OSError(errno.EIO, "the spool's disk")

    (outcome,) = at_once(transport(tmp_path).deliver(attempt(ALICE, content=Broken(CONTENT))))
    assert outcome.status is Status.DEFERRED
    assert stored(tmp_path, "alice") == []


def test_cut_short_it_still_tells_what_was_delivered(tmp_path: Path) -> None:
    class Hanging:
        calls = 0

        async def deliver(self, *args: object) -> None:
            self.calls += 1
            if self.calls == 2:
                await Deferred()

    delivery: Deferred[tuple[Outcome, ...]] = Deferred.fromCoroutine(
        transport(tmp_path, store=Hanging()).deliver(attempt(ALICE, BOB, ALICE))
    )
    delivery.cancel()
    outcomes = at_once(delivery)
    assert [(o.status, o.uncertain) for o in outcomes] == [
        (Status.DELIVERED, False),
        (Status.DEFERRED, True),
        (Status.DEFERRED, False),
    ]


def by_route(*recipients: Address, **parameters: object) -> Attempt:
    return attrs.evolve(
        attempt(*recipients), route=Route(transport="maildir", parameters=tuple(sorted(parameters.items())))
    )


def test_a_route_names_its_folder(tmp_path: Path) -> None:
    made = transport(tmp_path)
    at_once(made.deliver(by_route(ALICE, folder="Junk")))
    at_once(made.deliver(by_route(ALICE)))
    assert len(stored(tmp_path, "alice", ".Junk")) == len(stored(tmp_path, "alice")) == 1


@pytest.mark.parametrize(
    ("parameters", "wrong"),
    [
        ({"folder": "a//b"}, "empty"),
        ({"folder": 7}, "folder"),
        ({"tag_folder": "yes"}, "tag_folder"),
        ({"fodler": "Junk"}, "unknown option 'fodler'"),
        ({"folder": "Junk", "tag_folder": True}, ""),
    ],
)
def test_a_route_is_judged(tmp_path: Path, parameters: dict[str, object], wrong: str) -> None:
    made = transport(tmp_path)
    assert verifyObject(IRouteChecker, made)
    problems = made.check(Route(transport="maildir", parameters=tuple(sorted(parameters.items()))))
    assert len(problems) == bool(wrong)
    assert wrong in "".join(problems)


@pytest.mark.parametrize(
    ("local", "folder"),
    [
        ("bob+lists", ".Lists"),
        ("bob+LISTS", ".Lists"),
        ("bob+unknown", ""),
        ("bob+../../x", ""),
        ("bob+", ""),
        ("bob", ""),
        ("bob+in.box", ""),
    ],
)
def test_a_tag_names_a_folder_that_is_there_and_makes_none(tmp_path: Path, local: str, folder: str) -> None:
    made = transport(tmp_path)
    at_once(made.deliver(by_route(BOB, folder="Lists")))
    before = {path.name for path in (tmp_path / "mail" / "bob").iterdir()}
    count = len(stored(tmp_path, "bob", folder)) if folder else 0
    (outcome,) = at_once(made.deliver(by_route(Address(local, "example.com"), tag_folder=True)))
    assert outcome.status is Status.DELIVERED
    assert len(stored(tmp_path, "bob", folder)) == count + 1
    assert {path.name for path in (tmp_path / "mail" / "bob").iterdir()} == before
