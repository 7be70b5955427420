"""Aliases at RCPT: who is refused, what is stored for whom, what the DSN parameters become, and return addresses."""

import ipaddress
from pathlib import Path
from typing import Any

import pytest
from ingress_rig import BODY, HELLO, Client, Directory, Rig
from twisted.internet.defer import Deferred

from relaygw.aliases import Aliases, NamedTable
from relaygw.config.schema import Config, HoldConfig, HoldMatchConfig, LimitsConfig
from relaygw.core.address import Address, parse_address
from relaygw.core.aliasing import Rules
from relaygw.core.envelope import Notify
from relaygw.core.events import Accepted, Discarded, Expanded, HeldByRule, Refused
from relaygw.core.permission import Permission, domains_of
from relaygw.core.srs import Srs
from relaygw.holds import FILE, HoldBook

NOW = 1_700_000_000.0
SRS = Srs(domain="here.test", secrets=(b"secret of the test",))
RULES = Rules(local=("here.test",), virtual=("virtual.test",), relay=domains_of(["relayed.test"]), most=10)

TABLE: dict[str, Any] = {
    "info": ("user", "far@far.test"),
    "one": ("only@far.test",),
    "lost": ("nobody",),
    "gone": ("/dev/null",),
    "ring": ("ring2",),
    "ring2": ("ring",),
    "team": ("user", "far@far.test"),
    "owner-team": ("other",),
    "club": ("other", "x@far.test"),
    "owner-club": ("other",),
    "any@virtual.test": ("user@here.test",),
    "many": tuple(f"u{n}@far.test" for n in range(8)),
    "uml": ("grün@far.test",),
}


class Table:
    """`later` holds the answers for some keys back; `broken` raises."""

    def __init__(self) -> None:
        self.later: dict[str, Deferred[tuple[str, ...]]] = {}
        self.broken = False
        self.asked: list[str] = []

    def lookup(self, key: str) -> Any:
        self.asked.append(key)
        if self.broken:
            raise OSError("gone")
        return self.later.get(key) or TABLE.get(key, ())


def make(table: Any = None, srs: Srs | None = SRS, **rig: Any) -> Rig:
    aliases = Aliases(
        tables=(NamedTable("people", table or Table()),),
        directory=Directory(),
        rules=RULES,
        srs=srs,
        now=lambda: NOW,
    )
    permission = Permission(
        local=domains_of(["here.test", "virtual.test"]),
        relay=domains_of(["relayed.test"]),
        trusted=(ipaddress.ip_network("203.0.113.0/24"),),
    )
    return Rig(aliases=aliases, permission=permission, **rig)


def rcpt(client: Client, address: str, parameters: str = "") -> str:
    return client.send(f"RCPT TO:<{address}>{parameters}\r\n").strip()


def begun(rig: Rig, sender: str = "a@b.test", client: str = "192.0.2.1") -> Client:
    session = rig.connect(client)
    assert session.codes(f"{HELLO}MAIL FROM:<{sender}>\r\n") == [250, 250]
    return session


def sent(rig: Rig, *recipients: str, sender: str = "a@b.test") -> str:
    """The answer to a message to these ("address PARAMETERS")."""
    client = begun(rig, sender)
    for recipient in recipients:
        address, _, parameters = recipient.partition(" ")
        assert rcpt(client, address, f" {parameters}" if parameters else "").startswith("250")
    return client.send("DATA\r\n" + BODY + ".\r\n").split("\r\n")[1]


def envelopes(rig: Rig) -> list[tuple[str, list[str]]]:
    return [
        (str(record.envelope.sender or "<>"), [str(each.address) for each in record.envelope.recipients])
        for record in rig.records()
    ]


@pytest.mark.parametrize(
    ("recipient", "ends"),
    [
        ("info@here.test", ["user@here.test", "far@far.test"]),
        ("Info+x@here.test", ["user@here.test", "far@far.test"]),
        ("any@virtual.test", ["user@here.test"]),
        ("user@here.test", ["user@here.test"]),
        ("who@relayed.test", ["who@relayed.test"]),
    ],
)
def test_a_stranger_reaches_aliases_and_their_ends(recipient: str, ends: list[str]) -> None:
    rig = make()
    assert sent(rig, recipient).startswith("250")
    assert envelopes(rig) == [("a@b.test", ends)]
    assert [event.recipients for event in rig.said(Accepted)] == [tuple(ends)]
    told = [(event.recipient, event.addresses, event.tables) for event in rig.said(Expanded)]
    expanded = recipient not in ("user@here.test", "who@relayed.test")
    assert told == ([(recipient, tuple(ends), ("people",))] if expanded else [])


@pytest.mark.parametrize(
    ("recipient", "reply"),
    [
        ("nobody@here.test", "550 5.1.1"),
        ("nobody@virtual.test", "550 5.1.1"),
        ("lost@here.test", "550 5.1.1"),
        ("ring@here.test", "451 4.4.6"),
        ("info@elsewhere.test", "550 5.7.1"),
    ],
)
def test_who_leads_nowhere_is_refused_at_rcpt(recipient: str, reply: str) -> None:
    rig = make()
    assert rcpt(begun(rig), recipient).startswith(reply)
    assert len(rig.said(Refused)) == 1


def test_an_alias_to_nowhere_is_taken_and_thrown_away() -> None:
    rig = make()
    assert sent(rig, "gone@here.test").startswith("250")
    assert rig.records() == []
    assert rig.said(Discarded)[0].reason == "its recipients lead nowhere"


def test_two_aliases_to_one_address_make_one_copy() -> None:
    rig = make()
    sent(rig, "info@here.test", "user@here.test", "club@here.test", "one@here.test", sender="")
    assert envelopes(rig) == [
        ("<>", ["user@here.test", "far@far.test", "other@here.test", "x@far.test", "only@far.test"])
    ]


def test_dsn_parameters_go_to_one_and_a_success_is_told_for_the_alias_of_several() -> None:
    rig = make()
    sent(rig, "one@here.test NOTIFY=SUCCESS ORCPT=rfc822;first@c.test", "info@here.test NOTIFY=SUCCESS,DELAY")
    (record,) = rig.records()
    one, info, *members = record.envelope.recipients
    assert (one.address, one.notify, one.orcpt) == (
        Address("only", "far.test"), frozenset({Notify.SUCCESS}), "rfc822;first@c.test",
    )  # fmt: skip
    assert (str(info.address), info.expanded, info.listed) == ("info@here.test", True, False)
    assert {(each.notify, each.orcpt) for each in members} == {(frozenset({Notify.DELAY}), "rfc822;info@here.test")}


def test_members_of_a_list_get_it_from_its_owner_in_a_message_of_its_own() -> None:
    rig = make()
    assert sent(rig, "user@here.test", "team@here.test NOTIFY=SUCCESS", "club@here.test").startswith("250")
    assert sorted(envelopes(rig)) == sorted([
        ("a@b.test", ["user@here.test", "team@here.test"]),
        ("owner-team@here.test", ["user@here.test", "far@far.test"]),
        ("owner-club@here.test", ["other@here.test", "x@far.test"]),
    ])  # fmt: skip
    contents = rig.stored()
    assert len(contents) == 3
    assert len(set(contents)) == 1
    own = next(record for record in rig.records() if record.envelope.sender == Address("a", "b.test"))
    told = own.envelope.recipients[1]
    assert (told.expanded, told.listed) == (True, True)
    ids = {record.queue_id for record in rig.records()}
    assert {event.list_id for event in rig.said(Expanded)} | {own.queue_id} == ids
    assert len(rig.offered) == len(rig.said(Accepted)) == 3
    for record in rig.records():
        assert all(not each.notify and not each.orcpt for each in record.envelope.recipients) or record is own


def test_a_message_to_one_list_is_one_message() -> None:
    rig = make()
    sent(rig, "team@here.test")
    assert envelopes(rig) == [("owner-team@here.test", ["user@here.test", "far@far.test"])]


def test_where_a_later_copy_cannot_be_stored_nothing_is_promised() -> None:
    rig = make()
    commit, calls = rig.spool.commit, []

    def failing(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 2:
            raise OSError("full")
        return commit(*arguments)

    rig.spool.commit = failing  # type: ignore[method-assign]
    assert sent(rig, "user@here.test", "team@here.test").startswith("451 4.3.0")
    (stored,) = rig.records()
    assert [event.queue_id for event in rig.said(Accepted)] == [stored.queue_id]  # it goes out: the journal knows it
    assert rig.offered == []


def test_so_many_addresses_in_one_message_and_no_more() -> None:
    client = begun(make())
    assert rcpt(client, "many@here.test").startswith("250")
    assert rcpt(client, "info@here.test").startswith("250")
    assert rcpt(client, "one@here.test").startswith("452 4.5.3")
    assert rcpt(client, "user@here.test").startswith("250")


def test_a_table_that_answers_later_is_waited_for() -> None:
    table = Table()
    table.later["info@here.test"] = Deferred()
    rig = make(table)
    client = begun(rig)
    assert rcpt(client, "info@here.test") == ""
    client.wire.clear()
    table.later.pop("info@here.test").callback(("user",))
    assert client.heard().startswith("250")
    client.send("DATA\r\n" + BODY + ".\r\n")
    assert envelopes(rig) == [("a@b.test", ["user@here.test"])]


def test_a_table_that_cannot_be_asked_makes_mail_wait() -> None:
    table = Table()
    table.broken = True
    client = begun(make(table))
    assert rcpt(client, "info@here.test").startswith("451 4.3.0")
    assert client.open


def test_mail_for_others_is_not_looked_up() -> None:
    table = Table()
    client = begun(make(table), client="203.0.113.9")
    assert rcpt(client, "info@elsewhere.test").startswith("250")
    assert table.asked == []


def test_an_address_beyond_ascii_makes_the_message_one_of_smtputf8() -> None:
    rig = make()
    sent(rig, "uml@here.test")
    (record,) = rig.records()
    assert record.envelope.smtputf8


def returning(sender: str = "alice@example.org") -> str:
    return str(SRS.forward(parse_address(sender), NOW))


def test_a_report_to_a_return_address_goes_back_to_the_sender() -> None:
    rig = make()
    address = returning()
    sent(rig, f"{address} ORCPT=rfc822;far@far.test", sender="")
    (record,) = rig.records()
    (recipient,) = record.envelope.recipients
    assert (str(recipient.address), recipient.orcpt) == ("alice@example.org", "rfc822;far@far.test")
    assert [(event.recipient, event.tables) for event in rig.said(Expanded)] == [(address, ("srs",))]


def test_a_return_address_that_leads_to_an_alias_of_ours_is_expanded() -> None:
    rig = make()
    sent(rig, returning("info@here.test"), sender="")
    assert envelopes(rig) == [("<>", ["user@here.test", "far@far.test"])]


@pytest.mark.parametrize(
    ("address", "sender", "reply"),
    [
        (returning(), "a@b.test", "550 5.7.1 This return address takes delivery reports only"),
        (returning().replace("=alice", "=mallory"), "", "550 5.1.1 This return address is not one of ours"),
        ("SRS0=AAAA=AA=example.org=alice@here.test", "", "550 5.1.1 This return address is not one of ours"),
        ("SRS1=AAAA=x.test==a@here.test", "", "550 5.1.1 This return address is not one of ours"),
        (str(SRS.forward(Address("a", "b.test"), NOW - 22 * 86400)), "", "550 5.1.1 This return address has expired"),
        (returning().replace("here.test", "far.test"), "", "550 5.7.1 Relaying denied"),
    ],
)
def test_return_addresses_relay_nothing_else(address: str, sender: str, reply: str) -> None:
    for client in ("192.0.2.1", "203.0.113.9"):  # neither for those we know, where it is ours
        if client == "192.0.2.1" or "far.test" not in address:
            assert rcpt(begun(make(), sender, client), address).startswith(reply)


def test_who_tries_out_return_addresses_is_shown_out() -> None:
    client = begun(make(limits=LimitsConfig(unknown_recipients=3)), "")
    tried = [rcpt(client, f"SRS0=AAA{n}=AA=x.test=a@here.test")[:3] for n in range(4)]
    assert tried == ["550", "550", "550", "421"]
    assert not client.open


@pytest.mark.parametrize(
    "match",
    [
        HoldMatchConfig(sender=("a@b.test",)),  # not the list's owner
        HoldMatchConfig(sender=("owner-club@here.test",)),
        HoldMatchConfig(recipient=("x@far.test",)),  # a member of the second list
        HoldMatchConfig(recipient=("third@far.test",)),
    ],
)
@pytest.mark.parametrize("also", [(), ("third@far.test",)])
def test_a_rule_holds_all_of_a_message_also_what_goes_to_lists(
    match: HoldMatchConfig, also: tuple[str, ...], tmp_path: Path
) -> None:
    if match.recipient == ("third@far.test",) and not also:
        match = HoldMatchConfig(recipient=("other@here.test",))
    rule = HoldConfig(name="look", match=match)
    config = Config(hostname="gateway.test", state=str(tmp_path), domains=("here.test",), holds=(rule,))
    rig = make(holds=HoldBook(str(tmp_path / FILE), config, now=lambda: NOW, write_event=lambda event: None))
    client = begun(rig, client="203.0.113.1")
    for address in ("team@here.test", "club@here.test", *also):
        assert rcpt(client, address).startswith("250")
    assert client.codes("DATA\r\n" + BODY + ".\r\n")[-1] == 250
    records = rig.records()
    assert len(records) == 2 + len(also)
    assert {record.held for record in records} == {"rule look"}
    assert rig.offered == []
    assert {event.queue_id for event in rig.said(HeldByRule)} == {record.queue_id for record in records}
