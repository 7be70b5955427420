"""Who may relay: strangers reach our domains and nothing else, in whatever form the address comes."""

import ipaddress

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaygw.core.address import Address
from relaygw.core.command import CommandError, parse_rcpt
from relaygw.core.permission import LOGIN_WANTED, RELAYING_DENIED, Destination, Permission, domains_of
from relaygw.core.reply import Reply
from relaygw.core.session import Role, Session

PERMISSION = Permission(
    local=domains_of(["Here.test", "bücher.test"]),
    relay=domains_of(["relayed.test", ".below.test"]),
    trusted=(ipaddress.ip_network("203.0.113.0/24"), ipaddress.ip_network("2001:db8::/32")),
)
POSTMASTER = Address("postmaster", "here.test")
STRANGER = Session(id="s", listener="mx", role=Role.MX, client="192.0.2.1")
SUBMITTER = attrs.evolve(STRANGER, role=Role.SUBMISSION)


def decide(session: Session, path: str) -> Destination | Reply:
    address = parse_rcpt(f"TO:{path}", POSTMASTER).address
    assert address is not None
    return PERMISSION.relay_to(session, address)


@pytest.mark.parametrize(
    "path",
    [
        "<victim@elsewhere.test>",
        "<@here.test:victim@elsewhere.test>",
        "<@relayed.test,@here.test:victim@elsewhere.test>",
        "<victim%elsewhere.test@here.test>",
        "<victim%elsewhere.test@relayed.test>",
        '<"victim@elsewhere.test"@here.test>',
        '<"victim@elsewhere.test"@relayed.test>',
        "<elsewhere.test!victim@here.test>",
        "<elsewhere.test!victim@sub.below.test>",
        '<"elsewhere.test!victim"@here.test>',
        "<victim@[198.51.100.1]>",
        "<victim@[IPv6:2001:db8::1]>",
        "<victim@[127.0.0.1]>",
        "<victim@sub.here.test>",
        "<victim@below.test>",
        "<victim@nothere.test>",
        "<victim@here.test.elsewhere.test>",
        "<here.test@elsewhere.test>",
    ],
)
def test_strangers_never_relay(path: str) -> None:
    assert decide(STRANGER, path) is RELAYING_DENIED
    assert decide(SUBMITTER, path) is LOGIN_WANTED
    for known in (attrs.evolve(SUBMITTER, login="user"), attrs.evolve(STRANGER, trusted=True)):
        assert isinstance(decide(known, path), Destination)


@pytest.mark.parametrize(
    ("path", "destination"),
    [
        ("<user@here.test>", Destination.LOCAL),
        ("<user@HERE.TEST>", Destination.LOCAL),
        ("<user@xn--bcher-kva.test>", Destination.LOCAL),
        ("<@elsewhere.test:user@here.test>", Destination.LOCAL),
        ("<postmaster>", Destination.LOCAL),
        ("<user@relayed.test>", Destination.RELAY),
        ("<user@deep.sub.below.test>", Destination.RELAY),
    ],
)
def test_strangers_reach_our_domains(path: str, destination: Destination) -> None:
    assert decide(STRANGER, path) is destination


def test_submission_wants_a_login_or_a_trusted_network() -> None:
    assert PERMISSION.begin(SUBMITTER) is LOGIN_WANTED
    assert PERMISSION.begin(attrs.evolve(SUBMITTER, login="user")) is None
    assert PERMISSION.begin(attrs.evolve(SUBMITTER, trusted=True)) is None
    assert PERMISSION.begin(STRANGER) is None
    assert decide(SUBMITTER, "<user@here.test>") is LOGIN_WANTED


@pytest.mark.parametrize(
    ("client", "trusted"),
    [("203.0.113.0", True), ("203.0.113.255", True), ("203.0.112.255", False), ("2001:db8::5", True), ("::1", False)],
)
def test_trust_is_by_network_and_not_on_unix_sockets(client: str, trusted: bool) -> None:
    assert PERMISSION.trusts(client) is trusted
    assert not PERMISSION.trusts("")


def test_what_filters_found_grants_nothing() -> None:
    convinced = attrs.evolve(STRANGER, results={"spf": "pass", "login": "user", "trusted": True}, hello="here.test")
    assert decide(convinced, "<victim@elsewhere.test>") is RELAYING_DENIED


@given(st.text(alphabet='@%!:,."\\[]<abhere.tst', max_size=40))
def test_no_text_makes_a_relay_for_strangers(text: str) -> None:
    try:
        address = parse_rcpt(f"TO:<{text}>", POSTMASTER).address
    except CommandError:
        return
    assert address is not None
    decision = PERMISSION.relay_to(STRANGER, address)
    if isinstance(decision, Destination):
        assert address.domain in ("here.test", "relayed.test") or address.domain.endswith(".below.test")
        assert not set(address.local) & set("@%!")


def test_a_socket_is_trusted_by_name_and_an_address_never_for_it() -> None:
    for permission in (Permission(local=domains_of([])), Permission(local=domains_of([]), trusted=PERMISSION.trusted)):
        assert permission.trusts("", socket=True)
        assert not permission.trusts("")
        assert not permission.trusts("192.0.2.1", socket=True)
