"""The filters `hello` and `null_sender`: what their defaults refuse, what they leave alone, what can be chosen."""

from typing import Any

import attrs
import pytest
from twisted.internet.task import Clock

from relaygw.config.schema import Config
from relaygw.core.question import Exchange
from relaygw.core.reply import Reply
from relaygw.core.verdict import PASS, Action, Phase, Verdict
from relaygw.dns import CachingResolver, FixedResolver
from relaygw.filters.allowance import Allowance
from relaygw.filters.hello import HelloFilter
from relaygw.filters.null_sender import NullSenderFilter
from relaygw.plugins import OptionsError
from relaygw.testing.filters import check_filter, make_services, make_session, make_transaction, run_filter

RESOLVER = FixedResolver(
    {
        "client.test": {"A": ["192.0.2.1"]},
        "six.test": {"AAAA": ["2001:db8::1"]},
        "mail.test": {"MX": [Exchange(10, "mx.mail.test")]},
        "text.test": {"TXT": [b"x"]},
    },
    failing=["down.test"],
)
SERVICES = make_services(resolver=RESOLVER, settings=Config(hostname="gateway.test", state="", domains=("here.test",)))


def hello(name: str, options: dict[str, Any] | None = None, **session: Any) -> Verdict:
    transaction = make_transaction(sender=None, session=make_session(hello=name, **session))
    return run_filter(HelloFilter(options or {}, SERVICES), Phase.HELLO, transaction)


def test_they_pass_the_suite_for_filters() -> None:
    check_filter(HelloFilter({"actions": {"unresolvable": "reject"}}, SERVICES))
    check_filter(NullSenderFilter({}, SERVICES))


@pytest.mark.parametrize("name", ["gateway.test", "GATEWAY.test."])
def test_by_default_our_own_name_is_refused_to_strangers(name: str) -> None:
    verdict = hello(name)
    assert verdict.action is Action.REJECT
    assert verdict.reply == Reply(550, "5.7.1", f"{name}: this is our own name, not yours")
    assert verdict.reason == f"hello own_name: {name}"


@pytest.mark.parametrize("name", ["here.test", "localhost", "192.0.2.1", "[192.0.2.9]", "nowhere.test", "client.test"])
def test_by_default_nothing_else_is(name: str) -> None:
    assert hello(name).action is Action.PASS


@pytest.mark.parametrize(
    "session", [{"trusted": True}, {"login": "alice"}, {"client": "127.0.0.1"}, {"client": "::1"}, {"client": ""}]
)
def test_ourselves_and_those_we_trust_may_say_it(session: dict[str, Any]) -> None:
    assert hello("gateway.test", **session) is PASS
    assert hello("gateway.test", {"skip": ["192.0.2.0/24"]}) is PASS


def test_further_names_and_addresses_of_ours() -> None:
    options = {"own": ["MX2.here.test", "198.51.100.25"]}
    for name in ("mx2.here.test", "[198.51.100.25]", "198.51.100.25"):
        assert hello(name, options).action is Action.REJECT


@pytest.mark.parametrize(
    ("flaw", "name", "words"),
    [
        ("own_domain", "here.test", "this is our own domain, not your host"),
        ("bare_address", "192.0.2.1", "an address stands in brackets (RFC 5321 4.1.3)"),
        ("wrong_literal", "[192.0.2.9]", "this is not the address you come from"),
        ("syntax", "localhost", "this is not a fully qualified host name"),
        ("unresolvable", "nowhere.test", "the DNS does not know this name"),
        ("unresolvable", "text.test", "the DNS does not know this name"),
    ],
)
def test_every_flaw_can_be_refused_deferred_or_marked(flaw: str, name: str, words: str) -> None:
    text = f"{name}: {words}"
    for action, reply in (
        ("reject", Reply(550, "5.7.1", text)),
        ("defer", Reply(450, "4.7.1", text)),
        ("quarantine", None),
    ):
        verdict = hello(name, {"actions": {flaw: action}})
        assert verdict.action is Action(action)
        assert verdict.reason == f"hello {flaw}: {name}"
        assert verdict.reply == reply
        assert hello("client.test", {"actions": {flaw: action}}) is PASS


@pytest.mark.parametrize("name", ["client.test", "six.test", "mail.test", "down.test"])
def test_names_the_dns_knows_or_cannot_tell_of_are_not_unresolvable(name: str) -> None:
    assert hello(name, {"actions": {"unresolvable": "reject"}}) is PASS


def test_the_dns_is_asked_only_where_it_matters() -> None:
    resolver = FixedResolver({})
    services = attrs.evolve(SERVICES, resolver=resolver)
    transaction = make_transaction(session=make_session(hello="nowhere.test"))
    assert run_filter(HelloFilter({}, services), Phase.HELLO, transaction) is PASS
    assert not resolver.asked


def test_names_that_one_client_makes_us_look_up_count_for_it() -> None:
    """EHLO can be said again and again, each time with another name of somebody's."""
    resolver, clock = FixedResolver({}), Clock()
    cache = CachingResolver(resolver, clock)
    allowance = Allowance(message=0, client=5, clock=clock, write_event=lambda event: None)
    services = attrs.evolve(SERVICES, resolver=cache, allowance=allowance)
    judge = HelloFilter({"actions": {"unresolvable": "reject"}}, services)
    found = [
        run_filter(judge, Phase.HELLO, make_transaction(session=make_session(hello=f"n{number}.test"))).action
        for number in range(4)
    ]
    assert found == [Action.REJECT, Action.PASS, Action.PASS, Action.PASS]
    assert len(resolver.asked) == 5


def test_the_reply_to_a_hostile_name_is_ascii_and_bounded() -> None:
    verdict = hello("\N{SNOWMAN}" * 1000, {"actions": {"syntax": "reject"}})
    assert verdict.reply == Reply(550, "5.7.1", f"{'?' * 200}: this is not a fully qualified host name")


def test_our_own_name_can_be_left_alone() -> None:
    assert hello("gateway.test", {"actions": {"own_name": "pass"}}).action is Action.PASS


def null(
    recipient: str, *, accepted: tuple[str, ...] = (), options: dict[str, Any] | None = None, **changes: Any
) -> Verdict:
    session = make_session(**changes.pop("session", {}))
    transaction = make_transaction(
        sender=changes.pop("sender", None), recipients=accepted, recipient=recipient, session=session
    )
    return run_filter(NullSenderFilter(options or {}, SERVICES), Phase.RCPT, transaction)


def test_a_report_goes_to_one_recipient() -> None:
    assert null("a@here.test") is PASS
    verdict = null("b@here.test", accepted=("a@here.test",))
    assert verdict.action is Action.DEFER
    assert verdict.reply == Reply(452, "4.5.3", "A report goes to one recipient; send the rest in another transaction")
    assert null("a@here.test", accepted=("a@here.test",)) is PASS
    assert null("b@here.test", accepted=("a@here.test",), sender="x@client.test") is PASS


def test_the_limit_at_n_and_one_more_and_refused_for_good() -> None:
    options = {"recipients": 2, "refuse": True}
    assert null("b@here.test", accepted=("a@here.test",), options=options) is PASS
    verdict = null("c@here.test", accepted=("a@here.test", "b@here.test"), options=options)
    assert verdict.reply == Reply(550, "5.5.3", "A report goes to one recipient")
    assert verdict.reason == "null_sender: more than 2 recipients"


@pytest.mark.parametrize(
    ("recipient", "refused"),
    [
        ("nobody@here.test", True),
        ("x@lists.here.test", True),
        ("x@deep.lists.here.test", False),
        ("a@here.test", False),
    ],
)
def test_who_never_sends_gets_no_reports(recipient: str, refused: bool) -> None:
    options = {"never_senders": ["Nobody@here.test", "lists.here.test"], "recipients": 1}
    verdict = null(recipient, options=options)
    if refused:
        pattern = "Nobody@here.test" if recipient.startswith("nobody") else "lists.here.test"
        text = "This address sends no mail, so there is nothing to report to it"
        assert verdict.reply == Reply(550, "5.7.1", text)
        assert verdict.reason == f"null_sender: {recipient} sends no mail ({pattern})"
    assert (null(recipient, options=options).action is Action.REJECT) is refused
    assert null(recipient, options=options, sender="x@client.test") is PASS


@pytest.mark.parametrize(
    "session", [{"trusted": True}, {"login": "alice"}, {"client": "127.0.0.1"}, {"client": "::1"}, {"client": ""}]
)
def test_our_own_are_not_judged(session: dict[str, Any]) -> None:
    assert null("b@here.test", accepted=("a@here.test",), session=session) is PASS


@pytest.mark.parametrize("options", [{"recipients": 0}, {"never_senders": ["not a pattern@"]}, {"refuse": "yes"}])
def test_options_that_mean_nothing_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(OptionsError):
        NullSenderFilter(options, SERVICES)
