"""What is wrong with a HELO name: a table, and that any word gets an answer."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaygw.core.client import block_of, is_inside, parse_client
from relaygw.core.hello import Flaw, hello_flaw

CLIENT = ipaddress.ip_address("192.0.2.1")
OWN = frozenset({"gateway.test", "198.51.100.25", "2001:db8::25"})
DOMAINS = frozenset({"here.test"})


@pytest.mark.parametrize(
    ("hello", "flaw"),
    [
        ("client.test", None),
        ("client.test.", None),
        ("Client.TEST", None),
        ("bücher.test", None),
        ("www.here.test", None),
        ("gateway.test", Flaw.OWN_NAME),
        ("GateWay.Test.", Flaw.OWN_NAME),
        ("[198.51.100.25]", Flaw.OWN_NAME),
        ("198.51.100.25", Flaw.OWN_NAME),
        ("[IPv6:2001:DB8:0::25]", Flaw.OWN_NAME),
        ("here.test", Flaw.OWN_DOMAIN),
        ("192.0.2.1", Flaw.BARE_ADDRESS),
        ("2001:db8::1", Flaw.BARE_ADDRESS),
        ("[192.0.2.1]", None),
        ("[IPv6:::ffff:192.0.2.1]", None),
        ("[192.0.2.2]", Flaw.WRONG_LITERAL),
        ("[IPv6:2001:db8::1]", Flaw.WRONG_LITERAL),
        ("[192.0.2.1", Flaw.SYNTAX),
        ("[2001:db8::1]", Flaw.SYNTAX),
        ("localhost", Flaw.SYNTAX),
        ("under_score.test", Flaw.SYNTAX),
        ("-dash.test", Flaw.SYNTAX),
        ("a..test", Flaw.SYNTAX),
        (f"{'a' * 64}.test", Flaw.SYNTAX),
        (f"{'a' * 63}.test", None),
        ("%n", Flaw.SYNTAX),
        ("", Flaw.SYNTAX),
    ],
)
def test_the_table(hello: str, flaw: Flaw | None) -> None:
    found, name = hello_flaw(hello, CLIENT, OWN, DOMAINS)
    assert found is flaw
    assert bool(name) == (flaw is None and not hello.startswith("["))


@given(st.text(max_size=60), st.ip_addresses())
def test_any_word_gets_an_answer(hello: str, client: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    flaw, name = hello_flaw(hello, client, OWN, DOMAINS)
    assert flaw is None or not name
    assert name.isascii()


@pytest.mark.parametrize(
    ("client", "block", "inside"),
    [
        ("192.0.2.77", "192.0.2.0/24", False),
        ("::ffff:192.0.2.77", "192.0.2.0/24", False),
        ("10.1.2.3", "10.1.2.0/24", True),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", False),
        ("fd00::1", "fd00::/64", True),
        ("fe80::1%eth0", "fe80::/64", True),
        ("127.0.0.1", "127.0.0.0/24", True),
    ],
)
def test_blocks_of_clients(client: str, block: str, inside: bool) -> None:
    address = parse_client(client)
    assert address is not None
    assert (block_of(address), is_inside(address)) == (block, inside)
    assert address.reverse_pointer.endswith(".arpa")
    assert parse_client("") is None
