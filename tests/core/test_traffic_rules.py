"""What replies mean: kinds of trouble, greylisting times, rules and their patterns, and layers of shaping."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaygw.config.schema import ReplyConfig
from relaygw.core.address import Address
from relaygw.core.envelope import Envelope
from relaygw.core.health import Care, Health
from relaygw.core.judgement import judge
from relaygw.core.outcome import Outcome, Status, deferred, failed, from_reply
from relaygw.core.owner import owner_of
from relaygw.core.providers import PROVIDERS, RULES
from relaygw.core.record import Record
from relaygw.core.remote_rules import Action, RemoteRules, ReplyRule, compile_rules
from relaygw.core.reply import Reply
from relaygw.core.shaping import MAX_NAME, Provided, Shape, compile_providers, compile_shaping
from relaygw.core.trouble import GREY_WAIT, MAX_TEXT, Trouble, greylist_wait, trouble_of

BOB = Address("bob", "example.com")


def said(code: int, enhanced: str, text: str) -> Outcome:
    return from_reply(BOB, Reply(code, enhanced, text), host="mx.example", address="192.0.2.1")


@pytest.mark.parametrize(
    ("outcome", "trouble"),
    [
        (said(250, "2.0.0", "ok"), Trouble.NONE),
        (deferred(BOB, "4.4.1", "refused"), Trouble.CONNECT),
        (deferred(BOB, "4.4.2", "lost"), Trouble.CONNECT),
        (deferred(BOB, "4.4.3", "no answer"), Trouble.DNS),
        (deferred(BOB, "4.7.5", "wrong name"), Trouble.TLS),
        (deferred(BOB, "4.3.5", "no route"), Trouble.LOCAL),
        (failed(BOB, "5.1.2", "no such domain"), Trouble.PERMANENT),
        (said(421, "4.7.0", "closing"), Trouble.BUSY),
        (said(450, "4.2.0", "Greylisted, come back"), Trouble.GREYLISTED),
        (said(421, "4.7.1", "gray-listed"), Trouble.GREYLISTED),
        (said(452, "4.2.2", "no"), Trouble.FULL),
        (said(552, "5.2.2", "Mailbox FULL"), Trouble.FULL),
        (said(450, "", "user is over quota"), Trouble.FULL),
        (said(451, "4.3.0", "later"), Trouble.TEMPORARY),
        (said(550, "5.7.1", "greylisted for good"), Trouble.PERMANENT),
        (said(451, "", "x" * MAX_TEXT + "greylisted"), Trouble.TEMPORARY),
    ],
)
def test_trouble(outcome: Outcome, trouble: Trouble) -> None:
    assert trouble_of(outcome) is trouble


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Greylisted", GREY_WAIT),
        ("try again in 300 seconds", 305.0),
        ("retry in 5 min", 305.0),
        ("in 1 hour", 3605.0),
        ("for 04:59", 304.0),
        ("for 0:10:00 please", 605.0),
        ("0 seconds", GREY_WAIT),
        ("in 99999 hours", 6 * 3600.0 + 5.0),
        ("see rfc6647 and 10minuteman", GREY_WAIT),
    ],
)
def test_the_wait_a_greylist_states(text: str, seconds: float) -> None:
    assert greylist_wait(text) == seconds


@given(st.text(max_size=3000))
def test_a_greylist_can_say_what_it_likes(text: str) -> None:
    assert 0 < greylist_wait(text) <= 6 * 3600.0 + 5.0
    assert isinstance(trouble_of(said(450, "4.7.1", text)), Trouble)


@pytest.mark.parametrize(
    ("rule", "matches"),
    [
        (ReplyRule(name="", action=Action.REST), True),
        (ReplyRule(name="", action=Action.REST, code=("4",)), True),
        (ReplyRule(name="", action=Action.REST, code=("45", "5")), False),
        (ReplyRule(name="", action=Action.REST, enhanced=("4.7.*",)), True),
        (ReplyRule(name="", action=Action.REST, enhanced=("4.7.2",)), False),
        (ReplyRule(name="", action=Action.REST, enhanced=("4.7.1*",)), False),
        (ReplyRule(name="", action=Action.REST, text=("rate*too high",)), True),
        (ReplyRule(name="", action=Action.REST, text=("too high*rate",)), False),
        (ReplyRule(name="", action=Action.REST, text=("nothing", "rate")), True),
        (ReplyRule(name="", action=Action.REST, destination=("d",)), True),
        (ReplyRule(name="", action=Action.REST, destination=("other",)), False),
        (ReplyRule(name="", action=Action.REST, code=("421",), text=("no",)), False),
    ],
)
def test_all_conditions_of_a_rule_must_hold(rule: ReplyRule, matches: bool) -> None:
    outcome = said(421, "4.7.28", "Your RATE of mail is too high")
    assert (RemoteRules(rules=(rule,)).rule("d", outcome) is rule) == matches


def test_rules_are_about_refusals_of_next_hops_only() -> None:
    rules = RemoteRules(rules=(ReplyRule(name="all", action=Action.REST),))
    assert rules.rule("d", said(250, "2.0.0", "ok")) is None
    assert rules.rule("d", deferred(BOB, "4.4.1", "refused")) is None


def test_our_own_rules_are_written_as_they_are_matched() -> None:
    for rule in RULES:
        assert [text.casefold() for text in rule.text] == list(rule.text)
        assert rule.time > 0
        assert set(rule.destination) <= {provider.name for provider in PROVIDERS}
    first = ReplyRule(name="mine", action=Action.FAIL, code=("421",))
    assert compile_rules((), (first,)).rule("google", said(421, "4.7.0", "x")) is first


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("limit*again", "the limit; try again", True),
        ("limit*again", "limit; try again", True),
        ("again*again", "try again and again", True),
        ("again*again", "try again", False),
        ("aba*ab", "abab", False),
    ],
)
def test_what_stands_around_a_star_is_found_one_behind_the_other(pattern: str, text: str, found: bool) -> None:
    rule = ReplyRule(name="", action=Action.REST, text=(pattern,))
    assert rule.matches("d", said(421, "4.7.0", text)) is found


def test_a_star_alone_stands_for_any_enhanced_code() -> None:
    assert ReplyRule(name="", action=Action.REST, enhanced=("*",)).matches("d", said(421, "4.7.0", "x"))


@pytest.mark.parametrize(
    ("action", "outcome", "status"),
    [
        ("fail", said(421, "4.7.0", "no"), Status.FAILED),
        ("fail", said(550, "5.7.0", "no"), Status.FAILED),
        ("defer", said(550, "5.7.0", "no"), Status.DEFERRED),
        ("defer", said(421, "4.7.0", "no"), Status.DEFERRED),
        *((word, said(421, "4.7.0", "no"), Status.DEFERRED) for word in ("rest", "slow", "retry")),
        *((word, said(550, "5.7.0", "no"), Status.FAILED) for word in ("rest", "slow", "retry")),
    ],
)
def test_a_refusal_that_is_none_and_a_deferral_that_is_none(action: str, outcome: Outcome, status: Status) -> None:
    """The next hop's words stay its own."""
    rules = compile_rules([ReplyConfig(action=action)], ())  # type: ignore[arg-type]  # the configuration's word
    (found,) = judge("d", ((0, outcome),), rules).outcomes
    assert found == (0, attrs.evolve(outcome, status=status))


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        (ReplyConfig(name="mine", code=("421",)), "mine"),
        (ReplyConfig(), "rest on any reply"),
        (
            ReplyConfig(action="slow", code=("421",), enhanced=("4.7.*",), text=("Too Fast",)),
            "slow on 421 or 4.7.* or Too Fast",
        ),
    ],
)
def test_a_rule_without_a_name_is_told_by_what_it_looks_for(entry: ReplyConfig, name: str) -> None:
    rule = compile_rules([entry], ()).rule("d", said(421, "4.7.1", "You are TOO FAST"))
    assert rule is not None
    assert rule.name == name


@pytest.mark.parametrize(
    ("outcomes", "answered", "unreachable"),
    [
        ([], False, False),
        ([said(250, "2.0.0", "ok")], True, False),
        ([said(550, "5.1.1", "who?"), said(250, "2.0.0", "ok")], True, False),
        ([deferred(BOB, "4.4.1", "refused")] * 2, False, True),
        ([deferred(BOB, "4.4.2", "lost"), said(250, "2.0.0", "ok")], True, False),
        ([deferred(BOB, "4.3.0", "our own")], False, False),
        ([said(421, "4.3.2", "shutting down")], False, True),
    ],
)
def test_what_an_attempt_says_of_its_destination(outcomes: list[Outcome], answered: bool, unreachable: bool) -> None:
    judgement = judge("d", tuple(enumerate(outcomes)), RemoteRules(rules=()))
    assert (judgement.answered, bool(judgement.unreachable)) == (answered, unreachable)


def test_a_message_that_wants_more_tls_than_others_says_nothing_of_the_destination() -> None:
    lacking = ((0, deferred(BOB, "4.7.5", "the name is not proven")),)
    assert judge("d", lacking, RemoteRules(rules=())).unreachable
    assert not judge("d", lacking, RemoteRules(rules=()), wants_proof=True).unreachable


def test_layers_lie_above_each_other() -> None:
    shaping = compile_shaping(
        (
            Provided(name="all", connections=8, messages_per_minute=600),
            Provided(name="google", connections=3),
            Provided(name="own", destination=("host:25",), messages_per_minute=0, recipients_per_message=1),
        ),
        PROVIDERS,
        Care(initial=5, most=20),
    )
    plain, google, host = (shaping.shape(name) for name in ("x.example", "google", "host:25"))
    assert (plain.care.most, plain.care.initial, plain.messages_per_minute, plain.layers) == (8, 5, 600, ("all",))
    assert (google.care.most, google.care.initial, google.messages_per_connection) == (3, 3, 100)
    assert google.layers == ("all", "google", "google")
    assert (host.care.most, host.messages_per_minute, host.recipients_per_message) == (8, 0, 1)


def test_an_entry_that_repeats_the_name_of_a_provider_adds_to_it_alone() -> None:
    """Whether the provider is known by its mail exchangers or by its domains."""
    shaping = compile_shaping(
        (
            Provided(name="by mx", mx=(".mx.example",), connections=5),
            Provided(name="by domain", domain=("d.example",), connections=6),
            Provided(name="by domain", messages_per_connection=7),
            Provided(name="by mx", recipients_per_message=8),
        ),
        (),
        Care(),
    )
    found = {name: shaping.shape(name) for name in ("by mx", "by domain", "other")}
    assert {name: shape.layers for name, shape in found.items()} == {
        "by mx": ("by mx", "by mx"),
        "by domain": ("by domain", "by domain"),
        "other": (),
    }
    assert (found["by mx"].care.most, found["by mx"].recipients_per_message) == (5, 8)
    assert (found["by domain"].care.most, found["by domain"].messages_per_connection) == (6, 7)
    assert found["other"] == Shape(care=Care())


@pytest.mark.parametrize(
    ("hosts", "site"),
    [
        ([], ""),
        (["MX.Example."], "mx.example"),
        (["b.example", "a.example", "A.example."], "a.example,b.example"),
        (["in.mx.example", "in2.mx.example"], "by mx"),
        (["in.mx.example", "other.example"], "in.mx.example,other.example"),
        (["mx.example"], "mx.example"),
        (["inmx.example"], "inmx.example"),
        (["d.example"], "d.example"),
    ],
)
def test_the_hosts_of_a_provider_are_one_site_and_all_others_are_named_by_themselves(
    hosts: list[str], site: str
) -> None:
    ours = Provided(name="by domain", domain=("d.example",)), Provided(name="by mx", mx=(".mx.example",))
    providers = compile_providers((), (*ours, Provided(name="all"), Provided(name="one", destination=("d.example",))))
    assert providers.site(hosts) == site


@pytest.mark.parametrize(("domain", "provider"), [("d.example", "by domain"), ("a.d.example", ""), ("x.example", "")])
def test_a_domain_that_is_named_belongs_to_its_provider(domain: str, provider: str) -> None:
    entries = Provided(name="by mx", mx=("x.example",)), Provided(name="by domain", domain=("d.example",))
    assert compile_providers((), entries).of_domain(domain) == provider


def test_a_site_of_many_hosts_has_a_name_of_bounded_length_and_its_own() -> None:
    most, more, other = ("h" * (MAX_NAME - 1 + extra) + last for extra, last in ((0, "x"), (1, "x"), (1, "y")))
    providers = compile_providers((), ())
    assert providers.site([most]) == most
    names = [providers.site([host]) for host in (more, other)]
    assert [len(name) for name in names] == [MAX_NAME - 1] * 2
    assert len(set(names)) == 2


@given(st.lists(st.from_regex(r"[a-z]{1,5}\.(google\.com|example)", fullmatch=True), max_size=12))
def test_the_name_of_a_site_does_not_depend_on_the_order_of_its_hosts(hosts: list[str]) -> None:
    providers = compile_providers((), PROVIDERS)
    assert providers.site(hosts) == providers.site(hosts[::-1])
    assert len(providers.site(hosts)) <= 200


@given(
    st.lists(st.sampled_from(["answered", "unreachable", "halve"]), max_size=200), st.integers(1, 9), st.integers(1, 30)
)
def test_a_limit_stays_between_one_and_the_most(steps: list[str], initial: int, most: int) -> None:
    care = Care(initial=min(initial, most), most=most)
    health, now = Health(window=float(care.initial)), 0.0
    for step in steps:
        now = max(now, health.resting_until)
        if step == "answered":
            health.answered(care, health.limit(care))
        elif step == "unreachable":
            health.unreachable(care, now, "x")
        else:
            health.halve()
        assert 1 <= health.limit(care) <= most
        assert health.resting_until <= now + care.longest_rest


@pytest.mark.parametrize(
    ("login", "sender", "owner"),
    [
        ("shop", "x@example.org", "shop"),
        ("", "Alice@Example.org", "alice@example.org"),
        ("", "Stra\u00dfe@example.org", "strasse@example.org"),
        ("", "bounces+bob=example.com@lists.example", "bounces@lists.example"),
        ("", "bounce-123456@lists.example", "bounce@lists.example"),
        ("", "12345@example.org", "12345@example.org"),
        ("", "+x@example.org", "+x@example.org"),
    ],
)
def test_the_owner_is_the_login_or_the_sender_without_what_differs(login: str, sender: str, owner: str) -> None:
    local, _, domain = sender.rpartition("@")
    envelope = Envelope(sender=Address(local, domain), recipients=())
    assert owner_of(Record(queue_id="x", envelope=envelope, arrived=0.0, recipients=(), login=login)) == owner
