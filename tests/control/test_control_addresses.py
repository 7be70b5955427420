"""Tables, aliases and rehearsals over the control socket: each step that makes another address of one is told."""

from pathlib import Path
from typing import Any

import attrs
import pytest
from least_configuration import LEAST
from operators import NOW, ZONE, Office, ask

from relaygw.cli.borrowed import address_parts
from relaygw.cli.direct import run_now
from relaygw.config.load import parse
from relaygw.control.app import ControlApp
from relaygw.control.explain import Case, Parts, explain_route
from relaygw.control.web import make_site
from relaygw.core.address import Address, parse_address
from relaygw.core.envelope import Envelope, Recipient
from relaygw.core.lifecycle import begin
from relaygw.core.record import Record
from relaygw.core.routing import compile_routes
from relaygw.core.srs import Srs
from relaygw.dns import FixedResolver
from relaygw.gateway.address_desk import AddressDesk
from relaygw.interfaces import Services

CONFIG = """\
[[table]]
name = "people"
use = "inline"
[table.options.entries]
info = ["alice", "bob@world.example"]
fred = "fred@world.example"
ring = "ring2"
ring2 = "ring"
gone = "/dev/null"
lost = "nobody"
"team@virtual.test" = ["alice@example.com", "x@world.example"]
"owner-team@virtual.test" = "alice@example.com"
[[table]]
name = "maps"
use = "inline"
options = { entries = { "carol@example.com" = "caroline@example.com" } }
[aliases]
tables = ["people"]
domains = ["virtual.test"]
[srs]
domain = "example.com"
secret_files = ["srs"]
[[rewriter]]
use = "addresses"
name = "canonical"
listeners = ["mx"]
options = { tables = ["maps"] }
[[rewriter]]
use = "headers"
name = "tidy"
routes = ["world"]
options = { remove = ["X-Secret"], add = { X-Ours = "yes" } }
[[route]]
name = "local"
match = { recipient = ["local"] }
transport = "maildir"
[[route]]
name = "spam"
match = { header = { X-Spam = "yes*" }, finding = ["dmarc=fail"] }
transport = "hold"
[[route]]
name = "world"
transport = "mx"
[[shaping]]
name = "gentle"
messages_per_minute = 7
[[retry]]
name = "slow"
recipient = ["slow.example"]
waits = ["1h"]
"""


@pytest.fixture
def office(tmp_path: Path) -> Office:
    (tmp_path / "users").write_text("alice x\n")
    (tmp_path / "users").chmod(0o600)
    (tmp_path / "srs").write_text("a secret of twenty octets")
    (tmp_path / "srs").chmod(0o600)
    config = parse(LEAST + CONFIG, str(tmp_path / "relaygw.toml"))
    office = Office(config=config)
    made = Services(
        hostname="mail.example.com",
        resolver=FixedResolver.from_zone(ZONE),
        reactor=office.clock,
        state=str(tmp_path),
        spawn=lambda name, task: None,
        settings=config,
    )
    parts = address_parts(config, made)
    assert parts.aliases is not None
    directory: Any = parts.aliases.directory
    office.parts = attrs.evolve(
        office.parts, addresses=AddressDesk(lambda: parts), account=directory.account, signing=_signing
    )
    return office


@pytest.fixture
def site(office: Office) -> Any:
    return make_site(ControlApp(office.parts, NOW).app, office.clock)


def _signing(record: Record) -> list[dict[str, str]]:
    return [{"domain": record.header_from, "selector": "s1"}] if record.header_from == "example.com" else []


def got(site: Any, place: str, status: int = 200) -> Any:
    answer = ask(site, "GET", place)
    assert answer.status == status, answer.text
    return answer.document


def test_the_tables_and_who_uses_them(site: Any) -> None:
    assert got(site, "/tables")["tables"] == [
        {"name": "people", "use": "inline", "used_by": ["aliases"], "entries": 8, "trouble": ""},
        {"name": "maps", "use": "inline", "used_by": ["rewriter canonical"], "entries": 1, "trouble": ""},
    ]
    assert got(site, "/tables/maps") == {
        "table": "maps",
        "count": 1,
        "entries": [{"key": "carol@example.com", "values": ["caroline@example.com"]}],
    }
    assert got(site, "/tables/people?key=INFO")["values"] == ["alice", "bob@world.example"]
    assert got(site, "/tables/people?key=none")["values"] == []
    assert "no table 'mop'" in got(site, "/tables/mop", 404)["error"]
    assert "no parameter" in got(site, "/tables/people?kee=x", 400)["error"]
    assert "key:" in got(site, "/tables/people?key=a%40not%20a%20domain", 400)["error"]


@pytest.mark.parametrize(
    ("address", "finals", "refused"),
    [
        ("info@example.com", ["alice@example.com", "bob@world.example"], ""),
        ("alice@example.com", ["alice@example.com"], ""),
        ("postmaster@example.com", ["postmaster@example.com"], ""),
        ("nobody@example.com", [], "550 5.1.1"),
        ("lost@example.com", [], "550 5.1.1"),
        ("ring@example.com", [], "451 4.4.6"),
        ("gone@example.com", [], ""),
        ("x@world.example", ["x@world.example"], ""),
    ],
)
def test_expanding_is_what_rcpt_would_find(site: Any, address: str, finals: list[str], refused: str) -> None:
    found = got(site, f"/expand?address={address}")
    assert [each["address"] for each in found["finals"]] == finals
    assert found["refused"].startswith(refused)
    assert bool(found["refused"]) is bool(refused)


def test_a_list_with_an_owner_says_from_whom_it_goes(site: Any) -> None:
    found = got(site, "/expand?address=team@virtual.test&sender=a@world.example")
    assert {each["sender"] for each in found["finals"]} == {"<owner-team@virtual.test>"}
    ways = got(site, "/route?sender=a@world.example&recipient=team@virtual.test")
    assert [(way["sender"], way["recipient"], way["action"]) for way in ways["recipients"]] == [
        ("<owner-team@virtual.test>", "alice@example.com", "deliver"),
        ("<owner-team@virtual.test>", "x@world.example", "deliver"),
    ]
    assert ways["action"] == "deliver"


def test_one_way_is_told_with_all_its_steps(site: Any) -> None:
    way = got(site, "/route?sender=a@foreign.example&recipient=fred%2Bx@example.com&header=X-Secret:%20no")
    assert way["expansion"] == [
        {"address": "fred+x@example.com", "table": "people", "key": "fred", "targets": ["fred@world.example"]}
    ]
    assert (way["final"], way["route"], way["transport"]) == ("fred@world.example", "world", "mx")
    assert way["mail_from"].startswith("<SRS0=")
    assert way["mail_from"].endswith("=foreign.example=a@example.com>")
    assert way["rcpt_to"] == "<fred@world.example>"
    (change,) = way["outgoing"]
    assert change["step"] == "tidy, srs"
    assert (change["removed"], change["added"]) == (["X-Secret: no"], ["X-Ours: yes"])
    assert way["ceilings"]["messages_per_minute"] == 7
    assert way["ceilings"]["shaping"] == ["gentle"]
    assert way["retry"]["rule"] == ""
    assert "a full mailbox" in way["retry"]["conditional"]
    assert way["signing"] == []


def test_what_comes_in_is_rewritten_and_signed_as_it_is_then(site: Any) -> None:
    way = got(site, "/route?sender=carol@example.com&recipient=x@world.example&listener=mx")
    (change,) = way["rewriting"]
    assert (change["step"], change["sender"]) == ("canonical", "<caroline@example.com>")
    assert change["added"] == ["From: <caroline@example.com>"]
    assert way["mail_from"] == "<caroline@example.com>"
    assert way["signing"] == [{"domain": "example.com", "selector": "s1"}]
    assert got(site, "/route?sender=carol@example.com&recipient=x@world.example")["rewriting"] == []


def test_routes_by_header_and_finding_are_rehearsed(site: Any) -> None:
    query = "/route?sender=a@x.example&recipient=b@world.example"
    assert got(site, f"{query}&header=X-Spam:%20YES,%20very&finding=dmarc%3Dfail")["action"] == "hold"
    missed = got(site, f"{query}&header=X-Spam:%20no&finding=dmarc%3Dfail")
    assert missed["transport"] == "mx"
    assert any("has not x-spam: yes*" in step["why"] for step in missed["steps"])
    assert "a field such as" in got(site, f"{query}&header=nonsense", 400)["error"]


def test_the_retry_rule_of_a_recipient_is_named(site: Any) -> None:
    assert got(site, "/route?sender=a@example.com&recipient=b@slow.example")["retry"]["waits"] == [3600.0]
    assert got(site, "/route?sender=a@example.com&recipient=b@slow.example")["retry"]["rule"] == "slow"


@pytest.mark.parametrize(
    ("recipient", "sender", "action", "reason"),
    [
        ("nobody@example.com", "a@x.example", "fail", "refused at RCPT: 550 5.1.1"),
        ("ring@example.com", "a@x.example", "defer", "refused at RCPT: 451 4.4.6"),
        ("gone@example.com", "a@x.example", "discard", "it leads nowhere"),
        ("SRS0=AAAA=AA=x.test=u@example.com", "", "fail", "refused at RCPT: 550 5.1.1 This return address is not"),
        ("SRS0=AAAA=AA=x.test=u@example.com", "a@x.example", "fail", "refused at RCPT: 550 5.7.1"),
    ],
)
def test_what_would_be_refused(site: Any, recipient: str, sender: str, action: str, reason: str) -> None:
    way = got(site, f"/route?sender={sender}&recipient={recipient.replace('=', '%3D')}")
    assert way["action"] == action
    assert way["reason"].startswith(reason)


def test_what_was_accepted_is_not_expanded_or_rewritten_again(office: Office) -> None:
    asks = office.parts
    parts = Parts(config=asks.settings(), resolver=asks.resolver, account=asks.account, addresses=asks.addresses)
    case = Case(
        sender=Address("carol", "example.com"), recipient=Address("info", "example.com"), listener="mx", accepted=True
    )
    way = run_now(explain_route(case, parts))
    assert (way["rewriting"], way["expansion"], way["final"]) == ([], [], "info@example.com")
    assert "recipients" in run_now(explain_route(attrs.evolve(case, accepted=False), parts))


def test_a_return_address_of_ours_leads_back(site: Any) -> None:
    srs = Srs(domain="example.com", secrets=(b"a secret of twenty octets",))
    made = srs.forward(parse_address("u@world.example"), NOW)
    assert isinstance(made, Address)
    way = got(site, f"/route?sender=&recipient={str(made).replace('=', '%3D').replace('+', '%2B').replace('/', '%2F')}")
    assert (way["final"], way["action"]) == ("u@world.example", "deliver")


def test_domains_of_aliases_and_returns_are_local(tmp_path: Path) -> None:
    """What leads nowhere after all must end here, and never be sent to a next hop that sends it back."""
    text = LEAST + CONFIG.replace('domain = "example.com"\nsecret', 'domain = "back.test"\nsecret')
    config = parse(text, str(tmp_path / "relaygw.toml"))
    assert config.local_domains == ("example.com", "virtual.test", "back.test")
    routing = compile_routes(config.routes, config.local_domains, config.relay_domains)
    for domain in config.local_domains:
        recipient = Recipient(address=Address("x", domain))
        record = begin(queue_id="", envelope=Envelope(sender=None, recipients=(recipient,)), now=0.0)
        chosen = routing.choose(record, recipient)
        assert chosen is not None
        assert chosen.transport == "maildir"
