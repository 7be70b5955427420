"""Keys of the queue's index: whatever a selection means has a key of each of its conditions, however it is written."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relaygw.core.address import Address
from relaygw.core.envelope import Envelope, Recipient
from relaygw.core.index_keys import LABELS, conditions_of, keys_of
from relaygw.core.lifecycle import begin
from relaygw.core.patterns import Patterns
from relaygw.core.record import Origin, Progress, Record
from relaygw.core.selection import Selection

LABEL = st.sampled_from(("a", "b", "xn--c", "example", "com"))
DOMAIN = st.lists(LABEL, min_size=1, max_size=LABELS + 3).map(".".join)
LOCAL = st.sampled_from(("ann", "ANN", "straße", "STRASSE", "\u212aate", "kate", "a@b", ".x", ""))
ADDRESS = st.builds(Address, LOCAL, DOMAIN)
CLIENT = st.sampled_from(
    ("", "192.0.2.7", "192.0.2.200", "::ffff:192.0.2.7", "2001:db8::1", "2001:db8:0:0:1::", "fe80::1%e")
)
NETWORKS = st.builds(
    lambda text, prefix: ip_network((text, prefix), strict=False),
    st.sampled_from(("192.0.2.7", "192.0.2.1")),
    st.integers(0, 32),
) | st.builds(
    lambda text, prefix: ip_network((text, prefix), strict=False),
    st.sampled_from(("2001:db8::1", "fe80::1", "::ffff:192.0.2.7")),
    st.integers(0, 128),
)
NAME = st.sampled_from(("", "alice", "bob"))


@st.composite
def records(draw: Any) -> Record:
    people = draw(st.lists(ADDRESS, min_size=1, max_size=3))
    envelope = Envelope(sender=draw(st.none() | ADDRESS), recipients=tuple(Recipient(address=each) for each in people))
    record = begin(
        queue_id="a",
        envelope=envelope,
        now=100.0,
        origin=draw(st.sampled_from(Origin)),
        message_id=draw(st.sampled_from(("", "<1@a>", "<\udcff@a>"))),
        header_from=draw(st.just("") | DOMAIN),
        quarantined=draw(st.booleans()),
        findings=draw(st.sampled_from(((), ("spf=pass",), ("spf=fail", "dmarc=fail")))),
    )
    return attrs.evolve(record, login=draw(NAME), listener=draw(NAME), client=draw(CLIENT))


def patterns(draw: Any, domains: list[str], addresses: list[Address]) -> Patterns:
    """One pattern, mostly one that matches."""
    kind = draw(st.integers(0, 3))
    domain = draw(st.sampled_from(domains) | DOMAIN)
    if kind == 0:
        address = draw(st.sampled_from(addresses) | ADDRESS)
        return Patterns(addresses={f"{address.local.casefold()}@{address.domain}": "x"}, domains={})
    if kind == 1:
        return Patterns(addresses={}, domains={domain: "x"})
    labels = domain.split(".")
    suffix = "." + ".".join(labels[draw(st.integers(0, len(labels) - 1)) :])
    return Patterns(addresses={}, domains={}, suffixes=(suffix,), null=draw(st.booleans()))


@st.composite
def selections(draw: Any, record: Record) -> Selection:
    """One or two conditions of all that have keys."""
    people = [state.address for state in record.recipients]
    sender = record.envelope.sender
    senders = [sender] if sender is not None else people
    given: dict[str, Any] = {
        "sender": lambda: patterns(draw, [each.domain for each in senders], senders),
        "recipient": lambda: patterns(draw, [each.domain for each in people], people),
        "header_from": lambda: patterns(draw, [record.header_from or "a"], people),
        "logins": lambda: frozenset({draw(NAME), draw(NAME)}),
        "listeners": lambda: frozenset({draw(NAME), draw(NAME)}),
        "clients": lambda: tuple(draw(st.lists(NETWORKS, min_size=1, max_size=2))),
        "message_id": lambda: record.message_id,
        "findings": lambda: frozenset({draw(st.sampled_from(("spf=pass", "spf=fail")))}),
        "quarantined": lambda: draw(st.booleans()),
        "origin": lambda: draw(st.sampled_from(Origin)),
    }
    names = draw(st.sets(st.sampled_from(sorted(given)), min_size=1, max_size=2))
    return Selection(**{name: given[name]() for name in sorted(names)})


@settings(max_examples=400)
@given(st.data())
def test_what_is_meant_has_a_key_of_each_condition(data: st.DataObject) -> None:
    record = data.draw(records())
    selection = data.draw(selections(record))
    keys = keys_of(record)
    if selection.matches(record, 100.0):
        assert all(not keys.isdisjoint(condition) for condition in conditions_of(selection))


def one(*, recipient: str = "example.com", client: str = "") -> Record:
    person = Recipient(address=Address("x", recipient))
    record = begin(queue_id="a", envelope=Envelope(sender=None, recipients=(person,)), now=0.0)
    return attrs.evolve(record, client=client)


def test_every_suffix_of_a_domain_of_any_depth() -> None:
    """Those that are longer than the keys are found by a shorter one."""
    for depth in range(1, LABELS + 4):
        domain = ".".join(f"l{number}" for number in range(depth))
        keys = keys_of(one(recipient=domain))
        for start in range(1, depth):
            suffix = "." + domain.split(".", start)[-1]
            selection = Selection(recipient=Patterns(addresses={}, domains={}, suffixes=(suffix,)))
            assert selection.matches(one(recipient=domain), 0.0)
            (condition,) = conditions_of(selection)
            assert not keys.isdisjoint(condition), f"{domain} by {suffix}"


@pytest.mark.parametrize("client", ["192.0.2.7", "::ffff:192.0.2.7", "2001:db8::1", "2001:db8:0:0:1::", "fe80::1%e"])
def test_every_network_a_client_is_in(client: str) -> None:
    record = one(client=client)
    for text, most in (("192.0.2.7", 32), ("2001:db8::1", 128), ("2001:db8:0:0:1::", 128), ("fe80::1", 128)):
        for prefix in range(most + 1):
            selection = Selection(clients=(ip_network((text, prefix), strict=False),))
            for condition in conditions_of(selection) if selection.matches(record, 0.0) else ():
                assert not keys_of(record).isdisjoint(condition), f"{client} in {text}/{prefix}"


def test_a_recipient_is_found_whether_he_waits_or_not() -> None:
    """A removal may be undone."""
    record = begin(
        queue_id="a", envelope=Envelope(sender=None, recipients=(Recipient(address=Address("x", "a.b")),)), now=0.0
    )
    (state,) = record.recipients
    removed = attrs.evolve(record, recipients=(attrs.evolve(state, progress=Progress.REMOVED),))
    assert keys_of(removed) == keys_of(record) >= {"rx@a.b", "r@a.b", "r.b", "s"}


@pytest.mark.parametrize(
    ("network", "has_keys"),
    [("192.0.2.0/24", True), ("192.0.2.0/23", False), ("2001:db8::/64", True), ("2001:db8::/63", False)],
)
def test_networks_wider_than_a_block_have_no_keys(network: str, has_keys: bool) -> None:
    found: IPv4Network | IPv6Network = ip_network(network)
    assert bool(conditions_of(Selection(clients=(found,)))) == has_keys
    both = Selection(clients=(found, ip_network("192.0.2.7/32")))
    assert bool(conditions_of(both)) == has_keys, "one without keys is found by no key of the other"


def test_what_is_meant_by_nothing_that_has_keys_has_no_conditions() -> None:
    for selection in (
        Selection(),
        Selection(held=True, reply="x", min_attempts=1, larger_than=5, older_than=9.0),
        Selection(quarantined=False, origin=Origin.RECEIVED),
    ):
        assert conditions_of(selection) == []
