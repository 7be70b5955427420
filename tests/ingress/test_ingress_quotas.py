"""Quotas at the listener: beyond them mail is accepted and held, people are told once, counts outlive the process."""

import ipaddress
import json
from pathlib import Path
from typing import Any

import pytest
from ingress_rig import BODY, Client, Rig
from twisted.internet.defer import Deferred

from relaygw.config.schema import QuotaConfig
from relaygw.core.address import Address
from relaygw.core.events import Accepted, QuotaExceeded, TaskFailed
from relaygw.core.quota import Amounts, Ledger, Limits
from relaygw.core.record import Origin
from relaygw.core.session import Role, Session
from relaygw.ingress.quotas import LedgerFile, Quotas, _key
from relaygw.interfaces import Account, SpoolError

TRUSTED = "203.0.113.9"


def quota(name: str = "q", **options: Any) -> QuotaConfig:
    return QuotaConfig(name=name, **options)


def rig_with(*quotas: QuotaConfig) -> Rig:
    rig = Rig(role=Role.SUBMISSION, auth="always", quotas=quotas)
    account = Account(name="user", addresses=(Address("user", "here.test"), Address("u", "here.test")), mailbox="user")
    rig.directory.named = lambda login: account if login == "user" else None  # type: ignore[method-assign]
    return rig


def log_in(rig: Rig) -> Client:
    client = rig.connect()
    client.send("EHLO client.test\r\nAUTH PLAIN AHVzZXIAY29ycmVjdCBob3JzZQ==\r\n")
    rig.clock.advance(1)
    assert client.protocol.conversation.session.login == "user"
    return client


def send(client: Client, recipients: int = 1, body: str = BODY) -> list[int]:
    to = "".join(f"RCPT TO:<r{number}@elsewhere.test>\r\n" for number in range(recipients))
    return client.codes(f"MAIL FROM:<user@here.test>\r\n{to}DATA\r\n{body}.\r\n")


def held(rig: Rig) -> list[str]:
    return [record.held for record in rig.records() if record.origin is Origin.RECEIVED]


@pytest.mark.parametrize(
    ("limit", "sends", "beyond"),
    [
        ({"messages_per_hour": 2}, [1, 1, 1], "3 messages in the hour, 2 are allowed"),
        ({"recipients_per_hour": 5}, [2, 3, 1], "6 recipients in the hour, 5 are allowed"),
        ({"messages_per_day": 2}, [1, 1, 1], "3 messages in the day, 2 are allowed"),
        ({"recipients_per_day": 3}, [1, 2, 7], "10 recipients in the day, 3 are allowed"),
        ({"bytes_per_hour": 2 * len(BODY)}, [1, 1, 1], f"{3 * len(BODY)} octets in the hour"),
        ({"bytes_per_day": 2 * len(BODY)}, [1, 1, 1], f"{3 * len(BODY)} octets in the day"),
    ],
)
def test_what_is_beyond_is_accepted_and_held(limit: dict[str, int], sends: list[int], beyond: str) -> None:
    rig = rig_with(quota(**limit))
    client = log_in(rig)
    for recipients in sends:
        assert send(client, recipients)[-1] == 250
    first, second, third = held(rig)
    assert (first, second) == ("", "")
    assert third.startswith("quota q: user: ")
    assert beyond in third
    received = {record.queue_id: record for record in rig.records() if record.origin is Origin.RECEIVED}
    offered = [record.queue_id for record, _ in rig.offered if record.queue_id in received]
    assert offered == [queue_id for queue_id, record in received.items() if not record.held]


def test_owner_and_postmaster_are_told_once_in_each_window() -> None:
    rig = rig_with(quota(messages_per_hour=1))
    client = log_in(rig)
    for _ in range(4):
        send(client)
    alerts = [record for record in rig.records() if record.origin is Origin.LOCAL]
    (alert,) = alerts
    assert [str(state.address) for state in alert.recipients] == ["user@here.test", "postmaster@here.test"]
    assert alert.envelope.sender is None
    assert alert in [record for record, _ in rig.offered]
    assert [event.told for event in rig.said(QuotaExceeded)] == [True, False, False]
    assert [event.origin for event in rig.said(Accepted)].count("local") == 1
    (text,) = [each for each in rig.stored() if b"Auto-Submitted" in each]
    assert b"relaygw queue release --held --login user" in text
    assert b"2 messages in the hour, 1 are allowed" in text
    assert b"192.0.2.1" in text
    rig.clock.advance(3600)
    client = log_in(rig)
    for _ in range(3):
        send(client)
    assert len([record for record in rig.records() if record.origin is Origin.LOCAL]) == 2


def test_an_alert_that_cannot_be_stored_loses_no_mail_and_is_made_up_for() -> None:
    rig = rig_with(quota(messages_per_hour=1))
    client = log_in(rig)
    send(client)
    good = rig.spool.commit

    async def commit(record: Any, *rest: Any) -> Any:
        if record.origin is Origin.LOCAL:
            raise SpoolError("disk full")
        return await good(record, *rest)

    rig.spool.commit = commit  # type: ignore[method-assign]
    assert send(client)[-1] == 250
    assert [event.task for event in rig.said(TaskFailed)] == ["tell about a quota"]
    assert len(held(rig)) == 2
    rig.spool.commit = good  # type: ignore[method-assign]
    send(client)
    send(client)
    assert len([record for record in rig.records() if record.origin is Origin.LOCAL]) == 1


def test_a_directory_that_cannot_be_asked_leaves_the_postmaster() -> None:
    rig = rig_with(quota(messages_per_hour=1))
    client = log_in(rig)

    def broken(login: str) -> Account:
        raise RuntimeError("down")

    rig.directory.named = broken  # type: ignore[assignment,method-assign]
    send(client)
    send(client)
    (alert,) = [record for record in rig.records() if record.origin is Origin.LOCAL]
    assert [str(state.address) for state in alert.recipients] == ["postmaster@here.test"]


def test_the_client_does_not_wait_for_the_alert() -> None:
    rig = rig_with(quota(messages_per_hour=1))
    client = log_in(rig)
    send(client)
    rig.directory.named = lambda login: Deferred()  # type: ignore[assignment,method-assign,return-value]
    assert send(client)[-1] == 250
    assert held(rig)[1]


def session(**options: Any) -> Session:
    return Session(id="s", listener="in", role=Role.SUBMISSION, **{"client": TRUSTED, **options})


@pytest.mark.parametrize(
    ("config", "who", "key"),
    [
        (quota(), session(login="user"), "user"),
        (quota(), session(), ""),
        (quota(logins=("robot",)), session(login="user"), ""),
        (quota(logins=("robot",)), session(login="robot"), "robot"),
        (quota(per="client"), session(), TRUSTED),
        (quota(per="client"), session(client="2001:db8::1:2:3:4"), "2001:db8::/64"),
        (quota(per="client"), session(client=""), ""),
        (quota(per="client", listeners=("other",)), session(), ""),
        (quota(per="network", networks=(ipaddress.ip_network("203.0.113.0/24"),)), session(), "203.0.113.0/24"),
        (quota(per="network", networks=(ipaddress.ip_network("203.0.112.0/24"),)), session(), ""),
        (quota(networks=(ipaddress.ip_network("203.0.113.0/24"),)), session(login="user", client="192.0.2.1"), ""),
    ],
)
def test_what_a_session_is_counted_by(config: QuotaConfig, who: Session, key: str) -> None:
    assert _key(config, who) == key


def test_of_each_kind_the_first_that_matches_counts() -> None:
    quotas = Quotas(
        (quota("big", logins=("robot",), messages_per_hour=2), quota("all", messages_per_hour=1),
         quota("net", per="client", messages_per_hour=4)),
        Ledger(), Rig(quotas=(quota(),)).house.quotas._office, lambda: 1.0,  # type: ignore[union-attr]
    )  # fmt: skip
    robot, user = session(login="robot"), session(login="user")
    assert [quotas.charge(robot, 1, 1) is None for _ in range(3)] == [True, True, False]
    assert quotas.charge(user, 1, 1) is None
    beyond = quotas.charge(user, 1, 1)
    assert beyond is not None
    assert (beyond.quota, beyond.key) == ("all", "user")


def test_trusted_networks_without_a_login_have_quotas_too() -> None:
    rig = Rig(
        quotas=(quota("net", per="network", networks=(ipaddress.ip_network("203.0.113.0/24"),), messages_per_hour=1),)
    )
    client = rig.connect(TRUSTED)
    client.send("EHLO client.test\r\n")
    assert [send(client)[-1], send(client)[-1]] == [250, 250]
    assert [bool(each) for each in held(rig)] == [False, True]
    (alert,) = [record for record in rig.records() if record.origin is Origin.LOCAL]
    assert [str(state.address) for state in alert.recipients] == ["postmaster@here.test"]
    (text,) = [each for each in rig.stored() if b"Auto-Submitted" in each]
    assert b"relaygw queue remove --held --client 203.0.113.9" in text


# The file


def test_counts_are_read_back(tmp_path: Path) -> None:
    told: list[Any] = []
    file, ledger = LedgerFile(str(tmp_path / "quotas.json"), told.append), Ledger()
    ledger.charge("a", Limits(hour=Amounts(messages=1)), Amounts(1, 1, 1), 5.0)
    file.write(ledger.dump())
    again = Ledger()
    file.read(again)
    assert again.dump() == ledger.dump()
    assert (tmp_path / "quotas.json").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["quotas.json"]
    assert told == []


@pytest.mark.parametrize("text", ["", "{", "[1]", json.dumps([["a", "week", 1, 1, 1, 1, False]]), "[" * 100_000])
def test_a_file_that_cannot_be_read_is_told_and_counting_begins_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / "quotas.json").write_text(text)
    told: list[Any] = []
    ledger = Ledger()
    LedgerFile(str(tmp_path / "quotas.json"), told.append).read(ledger)
    assert len(ledger) == 0
    assert [event.task for event in told] == ["read the counts of quotas"]


def test_a_disk_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    told: list[Any] = []
    LedgerFile(str(tmp_path / "missing" / "quotas.json"), told.append).write([])
    assert [event.task for event in told] == ["write the counts of quotas"]


def test_the_first_life_has_no_file(tmp_path: Path) -> None:
    told: list[Any] = []
    LedgerFile(str(tmp_path / "quotas.json"), told.append).read(Ledger())
    assert told == []


def test_a_report_that_fails_takes_nothing_back() -> None:
    """The message is in the spool by then: an answer other than 250 would bring it a second time."""

    def broken(*_: object) -> None:
        raise RuntimeError("cannot be marked")

    rig = rig_with(quota(messages_per_hour=1))
    rig.ledger.told = broken  # type: ignore[method-assign]
    client = log_in(rig)
    assert [send(client)[-1], send(client)[-1]] == [250, 250]
    assert len(held(rig)) == 2
    assert [event.task for event in rig.said(TaskFailed)] == ["report a quota"]
