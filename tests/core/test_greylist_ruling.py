"""Greylisting's rulings: who waits, who passes, who is known; by a table, and by a model over any history."""

import ipaddress

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaygw.core.address import parse_address
from relaygw.core.greylist import NEWS, Known, Policy, Ruling, Seen, Triplet, rule, sender_key, triplet_of

POLICY = Policy(delay=300.0, window=7200.0, remember=86_400.0, passes=2)


@attrs.define
class Memory:
    """One triplet's and its block's memory, kept as the store keeps it."""

    seen: Seen | None = None
    known: Known | None = None

    def attempt(self, now: float, policy: Policy = POLICY) -> Ruling:
        ruling = rule(policy, self.seen, self.known, now)
        self.seen, self.known = ruling.seen or self.seen, ruling.known or self.known
        return ruling


def test_a_stranger_waits_and_passes_once_he_has() -> None:
    memory = Memory()
    assert memory.attempt(1000.0).wait == 300.0
    assert memory.attempt(1000.0).wait == 300.0
    assert memory.attempt(1299.0).wait == 1.0
    assert memory.attempt(1300.0).wait == 0.0
    assert memory.attempt(1301.0).wait == 0.0


@pytest.mark.parametrize(("after", "passes"), [(7200.0, True), (7200.1, False)])
def test_who_comes_back_too_late_is_a_stranger_again(after: float, passes: bool) -> None:
    memory = Memory()
    memory.attempt(0.0)
    assert (memory.attempt(after).wait == 0.0) is passes


@pytest.mark.parametrize(("after", "passes"), [(86_400.0, True), (86_400.1, False)])
def test_who_is_not_heard_of_for_long_is_forgotten(after: float, passes: bool) -> None:
    memory = Memory(seen=Seen(first=0.0, last=1000.0, passed=True))
    assert (memory.attempt(1000.0 + after).wait == 0.0) is passes


def test_a_block_is_known_after_n_triplets_and_not_before() -> None:
    known: Known | None = None
    for number, expected in ((0, 300.0), (1, 300.0), (2, 0.0)):
        memory = Memory(known=known)
        start = number * 10_000.0
        assert memory.attempt(start).wait == expected
        memory.attempt(start + 300.0)
        known = memory.known
    assert known is not None
    assert known.passes == 2


def test_recipients_of_one_message_count_once() -> None:
    known: Known | None = None
    for _ in range(9):
        memory = Memory(known=known)
        memory.attempt(0.0)
        memory.attempt(400.0)
        known = memory.known
    assert known == Known(passes=1, last=400.0)


def test_a_block_is_never_known_where_passes_is_zero() -> None:
    policy = attrs.evolve(POLICY, passes=0)
    assert rule(policy, None, Known(passes=99, last=0.0), 1.0).wait > 0


def test_signs_of_life_are_written_now_and_then() -> None:
    passed = Seen(first=0.0, last=0.0, passed=True)
    assert rule(POLICY, passed, None, NEWS - 1).seen is None
    assert rule(POLICY, passed, None, NEWS).seen == attrs.evolve(passed, last=NEWS)
    known = Known(passes=2, last=0.0)
    assert rule(POLICY, None, known, NEWS - 1).known is None
    assert rule(POLICY, None, known, NEWS).known == attrs.evolve(known, last=NEWS)


def test_a_clock_that_stepped_back_never_makes_anybody_wait_long() -> None:
    ruling = rule(POLICY, Seen(first=1e9, last=1e9, passed=False), None, 1000.0)
    assert (ruling.wait, ruling.seen) == (300.0, Seen(first=1000.0, last=1000.0, passed=False))


@pytest.mark.parametrize(
    ("sender", "key"),
    [
        (None, "<>"),
        ("Alice@Client.test", "alice@client.test"),
        ("list-bounces-4711@l.test", "list-bounces-#@l.test"),
        ("bounce+42-alice=here.test@l.test", "bounce@l.test"),
        ("prvs=1234ABCDEF=bob@b.test", "bob@b.test"),
        ("+@odd.test", "+@odd.test"),
        ("123@n.test", "#@n.test"),
    ],
)
def test_what_changes_from_message_to_message_does_not_count(sender: str | None, key: str) -> None:
    assert sender_key(parse_address(sender) if sender is not None else None) == key


def test_a_triplet_is_made_of_the_block() -> None:
    client, recipient = ipaddress.ip_address("192.0.2.9"), parse_address("Bob@here.test")
    assert triplet_of(client, None, recipient) == Triplet("192.0.2.0/24", "<>", "bob@here.test")


@given(st.lists(st.floats(0.0, 20_000.0), min_size=1, max_size=40), st.integers(0, 3))
def test_nobody_passes_at_first_and_everybody_who_keeps_trying_does(pauses: list[float], passes: int) -> None:
    """Whatever the pauses: a wait is what it says, is never longer than the delay, and coming back then passes."""
    policy = attrs.evolve(POLICY, passes=passes)
    memory, now = Memory(), 0.0
    assert memory.attempt(now, policy).wait == policy.delay
    for pause in pauses:
        now += pause
        ruling = memory.attempt(now, policy)
        assert 0.0 <= ruling.wait <= policy.delay
        if ruling.wait:
            now += ruling.wait
            # Rounded up, as the reply says it.
            assert memory.attempt(now + 1.0, policy).wait == 0.0
            now += 1.0
