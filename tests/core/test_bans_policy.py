"""Who is banned at n failures and not at n - 1, for how long, who never is, and that a working login stays open."""

import ipaddress

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaygw.core import bans as module
from relaygw.core.bans import DAY, KNOWN_FOR, MAX_BANS, BanError, Bans, Kind, Policy

POLICY = Policy(failures=3, network_failures=8, login_failures=5, window=100.0, duration=10.0, longest=60.0)
CLIENT = "192.0.2.7"


def fail(bans: Bans, client: str, login: str, times: int, now: float = 0.0, attempt: bytes = b"") -> list[Kind]:
    return [ban.kind for _ in range(times) for ban in bans.failed(client, login, attempt, now)]


def test_an_address_is_banned_at_n_and_let_in_when_its_time_is_over() -> None:
    bans = Bans(POLICY)
    assert fail(bans, CLIENT, "a", 2) == []
    assert bans.shut(CLIENT, 0.0) is None
    assert fail(bans, CLIENT, "b", 1) == [Kind.ADDRESS]
    ban = bans.shut(CLIENT, 9.9)
    assert ban is not None
    assert (ban.subject, ban.until, ban.reason) == ("192.0.2.7/32", 10.0, "3 failed logins")
    assert bans.shut(CLIENT, 10.0) is None
    assert bans.shut("192.0.2.8", 0.0) is None


def test_failures_outside_of_the_window_are_not_counted_together() -> None:
    bans = Bans(POLICY)
    for moment in (0.0, 50.0, 100.0, 200.0, 250.0):
        assert fail(bans, CLIENT, "a", 1, moment) == []
    assert fail(bans, CLIENT, "a", 1, 299.0) == [Kind.ADDRESS]


def test_each_further_ban_is_twice_as_long_up_to_the_longest_and_forgiven_after_a_day() -> None:
    bans = Bans(attrs.evolve(POLICY, network_failures=1000, login_failures=1000))
    now, lengths = 0.0, []
    for _ in range(5):
        fail(bans, CLIENT, "a", 3, now)
        ban = bans.shut(CLIENT, now)
        assert ban is not None
        lengths.append(ban.until - now)
        now = ban.until + 1
    assert lengths == [10.0, 20.0, 40.0, 60.0, 60.0]
    now += DAY
    fail(bans, CLIENT, "a", 3, now)
    assert bans.all(now)[0].until - now == 10.0


def test_an_ipv6_customer_is_a_64_and_a_mapped_address_is_an_ipv4_one() -> None:
    bans = Bans(POLICY)
    assert [fail(bans, f"2001:db8::{host}", "a", 1) for host in range(3)] == [[], [], [Kind.ADDRESS]]
    assert bans.shut("2001:db8::ffff", 0.0) is not None
    assert bans.shut("2001:db8:0:1::1", 0.0) is None
    fail(bans, f"::ffff:{CLIENT}", "a", 3)
    assert bans.shut(CLIENT, 0.0) is not None


def test_a_network_is_banned_when_its_hosts_take_turns() -> None:
    bans = Bans(attrs.evolve(POLICY, login_failures=100))
    made = [kind for host in range(8) for kind in fail(bans, f"192.0.2.{host}", f"user{host}", 1)]
    assert made == [Kind.NETWORK]
    assert bans.shut("192.0.2.200", 0.0) is not None
    assert bans.shut("192.0.3.1", 0.0) is None


def test_a_login_is_closed_to_strangers_and_open_where_it_is_known() -> None:
    bans = Bans(POLICY)
    bans.succeeded("198.51.100.1", "Alice", 0.0)
    made = [kind for host in range(5) for kind in fail(bans, f"203.0.{host}.1", "alice", 1)]
    assert made == [Kind.LOGIN]
    assert bans.refuses("203.0.113.9", "ALICE", 1.0)
    assert not bans.refuses("198.51.100.1", "alice", 1.0)
    assert not bans.refuses("203.0.113.9", "bob", 1.0)
    assert not bans.refuses("203.0.113.9", "alice", 11.0)


def test_one_logins_failures_lock_out_no_other_login_from_its_usual_address() -> None:
    bans = Bans(POLICY)
    bans.succeeded(CLIENT, "alice", 0.0)
    assert fail(bans, CLIENT, "bob", 3) == [Kind.ADDRESS]
    assert bans.shut(CLIENT, 0.0) is None
    assert not bans.refuses(CLIENT, "alice", 0.0)
    assert bans.refuses(CLIENT, "bob", 0.0)
    assert bans.refuses(CLIENT, "carol", 0.0)


def test_guessing_a_login_from_where_it_is_known_closes_this_login_there_and_nothing_else() -> None:
    bans = Bans(POLICY)
    for login in ("alice", "bob"):
        bans.succeeded(CLIENT, login, 0.0)
    assert fail(bans, CLIENT, "alice", 3) == [Kind.PAIR]
    assert bans.refuses(CLIENT, "alice", 0.0)
    assert not bans.refuses(CLIENT, "bob", 0.0)
    assert not bans.refuses("198.51.100.1", "alice", 0.0)
    assert bans.shut(CLIENT, 0.0) is None
    assert not bans.refuses(CLIENT, "alice", 10.0)


def test_a_device_with_an_old_password_counts_once() -> None:
    bans = Bans(POLICY)
    assert fail(bans, CLIENT, "a", 50, attempt=b"old") == []
    assert fail(bans, CLIENT, "a", 1, attempt=b"other") == []
    assert fail(bans, CLIENT, "a", 1, attempt=b"third") == [Kind.ADDRESS]


def test_trusted_and_exempt_networks_are_never_banned() -> None:
    bans = Bans(attrs.evolve(POLICY, exempt=(ipaddress.ip_network("192.0.2.0/24"),)))
    assert fail(bans, CLIENT, "a", 100) == []
    with pytest.raises(BanError):
        bans.add(CLIENT, 10.0, "", 0.0)
    bans.add("192.0.0.0/16", 10.0, "", 0.0)
    assert bans.shut(CLIENT, 0.0) is None
    assert not bans.refuses(CLIENT, "a", 0.0)
    assert bans.shut("192.0.3.1", 0.0) is not None


def test_a_policy_that_is_switched_off_bans_nobody_but_keeps_what_an_operator_said() -> None:
    bans = Bans(attrs.evolve(POLICY, enabled=False))
    assert fail(bans, CLIENT, "a", 100) == []
    bans.add(CLIENT, 10.0, "", 0.0)
    assert bans.shut(CLIENT, 0.0) is not None


def test_what_an_operator_bans_is_shut_whoever_is_known_there() -> None:
    bans = Bans(POLICY)
    bans.succeeded(CLIENT, "alice", 0.0)
    bans.add("192.0.0.0/8", 10.0, "enough", 0.0)
    ban = bans.shut(CLIENT, 0.0)
    assert ban is not None
    assert (ban.kind, ban.subject, ban.reason) == (Kind.NETWORK, "192.0.0.0/8", "enough")
    assert bans.refuses(CLIENT, "alice", 0.0)
    bans.add("mallory", 10.0, "", 0.0)
    assert bans.refuses("198.51.100.1", "mallory", 0.0)


@pytest.mark.parametrize("subject", ["", " ", "192.0.2.0/33", "a b", "x/y", "a\nb"])
def test_what_cannot_be_banned(subject: str) -> None:
    with pytest.raises(BanError):
        Bans(POLICY).add(subject, 10.0, "", 0.0)


def test_lifting_forgets_what_was_counted() -> None:
    bans = Bans(POLICY)
    bans.succeeded(CLIENT, "alice", 0.0)
    fail(bans, CLIENT, "bob", 3)
    fail(bans, CLIENT, "alice", 3)
    assert {ban.kind for ban in bans.lift(CLIENT)} == {Kind.ADDRESS, Kind.PAIR}
    assert bans.all(0.0) == ()
    assert bans.lift(CLIENT) == ()
    fail(bans, "198.51.100.1", "x", 2)
    bans.lift("198.51.100.1")
    assert fail(bans, "198.51.100.1", "y", 2) == []


def test_ended_bans_are_told_once() -> None:
    bans = Bans(POLICY)
    fail(bans, CLIENT, "a", 3)
    assert bans.sweep(9.0) == ()
    assert [ban.subject for ban in bans.sweep(10.0)] == ["192.0.2.7/32"]
    assert bans.sweep(11.0) == ()
    assert len(bans.kept()) == 1
    bans.sweep(10.0 + DAY)
    assert bans.kept() == ()


def test_what_is_known_is_forgotten_after_a_month() -> None:
    bans = Bans(POLICY)
    assert bans.succeeded(CLIENT, "alice", 0.0)
    assert not bans.succeeded(CLIENT, "alice", 5.0)
    assert bans.succeeded(CLIENT, "alice", DAY)
    bans.sweep(DAY + KNOWN_FOR)
    assert bans.known() == ()


def test_what_is_kept_is_the_same_state_again() -> None:
    bans = Bans(POLICY)
    bans.succeeded(CLIENT, "alice", 0.0)
    fail(bans, "198.51.100.1", "x", 3)
    again = Bans(POLICY, bans.kept(), bans.known())
    assert (again.kept(), again.known()) == (bans.kept(), bans.known())
    assert again.shut("198.51.100.1", 0.0) is not None


def test_everything_is_bounded() -> None:
    bans = Bans(attrs.evolve(POLICY, failures=1, network_failures=1, login_failures=1))
    for number in range(MAX_BANS + 10):
        bans.failed(str(ipaddress.ip_address(0x0A000000 + number)), f"user{number}", b"", 0.0)
    assert len(bans.kept()) == MAX_BANS
    assert sum(bans._widths.values()) == MAX_BANS
    for number in range(module.MAX_KNOWN + 10):
        bans.succeeded("198.51.100.1", f"user{number}", 0.0)
    assert len(bans.known()) == module.MAX_KNOWN
    counted = Bans(POLICY)
    for number in range(module.MAX_COUNTED + 10):
        counted.failed(str(ipaddress.ip_address(0x0A000000 + 256 * number)), f"user{number}", b"", 0.0)
    assert all(len(counts) <= module.MAX_COUNTED for counts in counted._counts.values())


CLIENTS = st.sampled_from([CLIENT, "192.0.2.8", "198.51.100.1", "2001:db8::1", "", "not an address"])
LOGINS = st.sampled_from(["alice", "bob", "Alice", ""])


@given(st.lists(st.tuples(st.sampled_from("fsal"), CLIENTS, LOGINS, st.floats(0, 40)), max_size=60))
def test_whoever_logged_in_last_without_a_failure_of_their_own_is_never_locked_out(
    steps: list[tuple[str, str, str, float]],
) -> None:
    bans, now = Bans(POLICY), 0.0
    bans.succeeded(CLIENT, "owner", now)
    for what, client, login, wait in steps:
        now += wait
        if what == "f":
            bans.failed(client, login, b"", now)
        elif what == "s" and login:
            bans.succeeded(client, login, now)
        elif what == "l":
            bans.lift(client or "x")
        else:
            bans.sweep(now)
        assert bans.shut(CLIENT, now) is None
        assert not bans.refuses(CLIENT, "owner", now)
