"""The filter `rate`: every measure and key at n and n + 1, deferred or held, by the clock that it is given."""

from typing import Any

import attrs
import pytest
from twisted.internet.task import Clock

from relaygw.core.events import Connected, Disconnected, Event, LoggedIn, Refused
from relaygw.core.reply import Reply
from relaygw.core.session import Role, Transaction
from relaygw.core.verdict import PASS, Action, Phase, Verdict
from relaygw.filters.chain import Chain
from relaygw.filters.rate import RateFilter
from relaygw.filters.uses import Use
from relaygw.plugins import OptionsError
from relaygw.testing.filters import check_filter, make_services, make_session, make_transaction, run_filter

OTHERS: dict[str, dict[str, Any]] = {
    "client": {"client": "192.0.2.2"},
    "network": {"client": "192.0.3.1"},
    "login": {"login": "bob"},
    "sender": {"sender": "b@client.test"},
}


def rate(*limits: dict[str, Any], clock: Clock | None = None, **options: Any) -> RateFilter:
    given = [{"count": 3, "within": "1m", **limit} for limit in limits]
    return RateFilter({"limits": given, **options}, make_services(clock=clock or Clock()))


def transaction(phase: Phase, **changes: Any) -> Transaction:
    session = {key: changes.pop(key) for key in ("client", "login", "trusted", "id") if key in changes}
    made: dict[str, Any] = {"sender": "a@client.test", "session": make_session(**{"login": "alice", **session})}
    if phase is Phase.CONNECT:
        made["sender"] = None
    if phase is Phase.RCPT:
        made["recipient"] = "r@here.test"
    if phase is Phase.DATA:
        made["content"] = b"x"
    return make_transaction(**{**made, **changes})


def ask(filter_: RateFilter, phase: Phase, **changes: Any) -> Verdict:
    return run_filter(filter_, phase, transaction(phase, **changes))


def test_it_passes_the_suite_for_filters() -> None:
    check_filter(RateFilter({}, make_services()))
    assert rate().phases == frozenset()


MEASURES = [
    ("connections", Phase.CONNECT, 421),
    ("messages", Phase.MAIL, 450),
    ("recipients", Phase.RCPT, 450),
    ("bytes", Phase.DATA, 450),
]


@pytest.mark.parametrize("counting", ["leaky", "strict"])
@pytest.mark.parametrize(("of", "phase", "code"), MEASURES)
def test_n_pass_and_one_more_is_deferred(of: str, phase: Phase, code: int, counting: str) -> None:
    clock = Clock()
    limited = rate({"of": of, "counting": counting}, clock=clock)
    assert phase in limited.phases
    assert [ask(limited, phase) for _ in range(3)] == [PASS] * 3
    verdict = ask(limited, phase)
    seconds = 20 if counting == "leaky" else 60
    assert verdict == Verdict(
        action=Action.DEFER,
        reason=f"rate: more than 3 {of} per client within 60 s for 192.0.2.1, {seconds} s to wait",
        reply=Reply(code, "4.7.1", f"Too many {of}, please try again in {seconds} seconds"),
    )
    clock.advance(seconds)
    assert ask(limited, phase) is PASS


@pytest.mark.parametrize("per", ["client", "network", "login", "sender", "all"])
def test_every_key_is_counted_for_itself(per: str) -> None:
    limited = rate({"of": "messages", "per": per, "count": 1})
    assert ask(limited, Phase.MAIL) is PASS
    assert ask(limited, Phase.MAIL).action is Action.DEFER
    for name, other in OTHERS.items():
        same = name != per and not (per == "client" and name == "network")
        fresh = rate({"of": "messages", "per": per, "count": 1})
        assert ask(fresh, Phase.MAIL) is PASS
        assert (ask(fresh, Phase.MAIL, **other).action is Action.DEFER) is same


@pytest.mark.parametrize(
    ("per", "changes"),
    [("client", {"client": ""}), ("network", {"client": ""}), ("login", {"login": ""}), ("sender", {"sender": None})],
)
def test_where_there_is_no_key_nothing_is_counted(per: str, changes: dict[str, Any]) -> None:
    limited = rate({"of": "messages", "per": per, "count": 1})
    assert [ask(limited, Phase.MAIL, **changes) for _ in range(5)] == [PASS] * 5


def test_networks_are_blocks_of_both_families() -> None:
    limited = rate({"of": "messages", "per": "network", "count": 1})
    for first, same, other in (
        ("192.0.2.1", "192.0.2.255", "192.0.3.1"),
        ("2001:db8::1", "2001:db8::ffff:0:0:1", "2001:db8:0:1::1"),
    ):
        actions = [ask(limited, Phase.MAIL, client=client).action for client in (first, same, other)]
        assert actions == [Action.PASS, Action.DEFER, Action.PASS]


def test_the_senders_case_does_not_make_another_sender() -> None:
    limited = rate({"of": "messages", "per": "sender", "count": 1})
    assert ask(limited, Phase.MAIL, sender="Me@client.test") is PASS
    assert ask(limited, Phase.MAIL, sender="mE@client.test").action is Action.DEFER


def test_bytes_declared_are_looked_at_and_bytes_that_came_are_counted() -> None:
    limited = rate({"of": "bytes", "count": "1K"})
    assert ask(limited, Phase.MAIL, size=1000) is PASS
    assert ask(limited, Phase.MAIL, size=1000) is PASS
    assert ask(limited, Phase.DATA, content=b"x" * 1000) is PASS
    assert ask(limited, Phase.MAIL, size=24) is PASS
    assert ask(limited, Phase.MAIL, size=25).action is Action.DEFER
    assert ask(limited, Phase.DATA, content=b"x" * 24) is PASS
    assert ask(limited, Phase.DATA, content=b"x").action is Action.DEFER


def test_a_message_larger_than_the_limit_is_not_deferred_for_ever() -> None:
    limited = rate({"of": "bytes", "count": "1K"})
    assert ask(limited, Phase.MAIL, size=5000) is PASS
    assert ask(limited, Phase.DATA, content=b"x" * 5000) is PASS
    assert ask(limited, Phase.DATA, content=b"x").action is Action.DEFER


def test_what_exceeds_may_be_held_instead() -> None:
    limited = rate({"of": "messages", "action": "hold"})
    assert [ask(limited, Phase.MAIL) for _ in range(3)] == [PASS] * 3
    held = ask(limited, Phase.MAIL)
    assert held == Verdict(action=Action.HOLD, reason="rate: more than 3 messages per client within 60 s for 192.0.2.1")


def test_what_one_limit_defers_another_does_not_count() -> None:
    clock = Clock()
    limited = rate(
        {"of": "messages", "per": "client", "count": 1},
        {"of": "messages", "per": "all", "count": 2, "within": "1h", "counting": "strict"},
        clock=clock,
    )
    assert ask(limited, Phase.MAIL) is PASS
    assert [ask(limited, Phase.MAIL).action for _ in range(9)] == [Action.DEFER] * 9
    assert ask(limited, Phase.MAIL, client="192.0.2.9") is PASS
    verdict = ask(limited, Phase.MAIL)
    assert verdict.reason.startswith("rate: more than 2 messages per all within 3600 s for all")


@pytest.mark.parametrize(
    "session", [{"trusted": True}, {"client": "127.0.0.1"}, {"client": "::1"}, {"client": "192.0.2.65"}]
)
def test_who_is_not_counted(session: dict[str, Any]) -> None:
    limited = rate({"of": "messages", "count": 1}, skip=["192.0.2.64/26"])
    assert [ask(limited, Phase.MAIL, **session) for _ in range(3)] == [PASS] * 3
    also = rate({"of": "messages", "count": 1}, trusted=True)
    assert [ask(also, Phase.MAIL, **session).action for _ in range(2)] == [Action.PASS, Action.DEFER]


def error(reply: str = "550 5.1.1 no", session: str = "0session", sender: str = "") -> Refused:
    return Refused(session=session, command="RCPT", reply=reply, sender=sender)


def connected(session: str = "0session", client: str = "192.0.2.1") -> Connected:
    return Connected(session=session, listener="mx", client=client)


@pytest.mark.parametrize("phase", [Phase.CONNECT, Phase.MAIL])
def test_errors_are_learnt_from_events_and_end_the_session(phase: Phase) -> None:
    clock = Clock()
    limited = rate({"of": "errors"}, clock=clock)
    limited.observe(connected())
    for _ in range(2):
        limited.observe(error())
    limited.observe(error("451 4.3.0 later"))
    assert ask(limited, phase) is PASS
    limited.observe(error())
    verdict = ask(limited, phase)
    assert verdict.reply == Reply(421, "4.7.1", "Too many errors, please try again in 20 seconds")
    clock.advance(20)
    assert ask(limited, phase) is PASS
    assert ask(limited, phase) is PASS  # looked at, not counted


def test_errors_of_one_session_count_for_the_next_of_the_same_client() -> None:
    limited = rate({"of": "errors", "count": 2})
    for number in range(2):
        limited.observe(connected(f"s{number}"))
        limited.observe(error(session=f"s{number}"))
        limited.observe(Disconnected(session=f"s{number}", cause="quit"))
    limited.observe(error(session="s0"))  # unknown by now
    assert ask(limited, Phase.CONNECT).action is Action.DEFER
    assert ask(limited, Phase.CONNECT, client="192.0.2.2") is PASS
    assert limited._sessions == {}


@pytest.mark.parametrize(
    ("per", "other"),
    [("network", {"client": "192.0.2.200"}), ("login", {"client": "198.51.100.1"}), ("all", {"client": "198.51.100.1"}),
     ("sender", {"client": "198.51.100.1"})],
)  # fmt: skip
def test_errors_have_every_key(per: str, other: dict[str, Any]) -> None:
    limited = rate({"of": "errors", "per": per, "count": 1})
    limited.observe(connected())
    limited.observe(LoggedIn(session="0session", login="alice", mechanism="PLAIN"))
    limited.observe(error(sender="<A@client.test>"))
    assert ask(limited, Phase.MAIL, **other).action is Action.DEFER


def test_without_a_limit_on_errors_no_session_is_remembered() -> None:
    limited = rate({"of": "messages"})
    limited.observe(connected())
    assert limited._sessions == {}


def test_keys_are_bounded() -> None:
    limited = rate({"of": "messages", "count": 1, "within": "1h"}, keys=2)
    for last in (1, 2, 3):
        assert ask(limited, Phase.MAIL, client=f"192.0.2.{last}") is PASS
    assert ask(limited, Phase.MAIL, client="192.0.2.3").action is Action.DEFER
    assert ask(limited, Phase.MAIL, client="192.0.2.1") is PASS


def test_the_defaults_are_far_from_honest_clients() -> None:
    clock = Clock()
    limited = RateFilter({}, make_services(clock=clock))
    for _ in range(600):
        clock.advance(1)
        assert ask(limited, Phase.CONNECT) is PASS
    assert [ask(limited, Phase.CONNECT).action for _ in range(201)][-1] is Action.DEFER


@pytest.mark.parametrize(
    "limit",
    [
        {"of": "mails"},
        {"of": "messages", "count": 0},
        {"of": "messages", "within": 0},
        {"of": "messages", "per": "recipient"},
        {"of": "messages", "action": "reject"},
        {"of": "messages", "counting": "loose"},
        {"of": "messages", "in": "1m"},
        {},
    ],
)
def test_limits_that_mean_nothing_are_refused(limit: dict[str, Any]) -> None:
    with pytest.raises(OptionsError, match="limits"):
        rate(limit)


@attrs.define
class Journal:
    events: list[Event] = attrs.field(factory=list)

    def __call__(self, event: Event) -> None:
        self.events.append(event)


def test_the_chain_tells_observers_of_their_listeners_and_the_journal_of_everything() -> None:
    journal, clock = Journal(), Clock()
    limited = rate({"of": "errors", "count": 1}, clock=clock)
    chain = Chain([Use(name="rate", filter=limited, listeners=frozenset({"mx"}))], clock, journal)
    elsewhere, here = chain.telling("inside", Role.MX), chain.telling("mx", Role.MX)
    for tell, client in ((elsewhere, "192.0.2.8"), (here, "192.0.2.9")):
        tell(connected(client, client))
        tell(error(session=client))
    assert len(journal.events) == 4
    assert ask(limited, Phase.CONNECT, client="192.0.2.8") is PASS
    assert ask(limited, Phase.CONNECT, client="192.0.2.9").action is Action.DEFER


def test_an_observer_that_breaks_costs_nobody_anything() -> None:
    class Broken(RateFilter):
        def observe(self, event: Event) -> None:
            raise RuntimeError("odd")

    journal = Journal()
    broken = Broken({}, make_services())
    tell = Chain([Use(name="mine", filter=broken)], Clock(), journal).telling("mx", Role.MX)
    tell(connected())
    assert [type(event).__name__ for event in journal.events] == ["Connected", "FilterBroke"]
    broke: Any = journal.events[1]
    assert (broke.filter, broke.phase, broke.error, broke.on_error) == (
        "mine",
        "connected",
        "RuntimeError: odd",
        "skip",
    )
