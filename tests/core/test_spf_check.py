"""check_host(): limits at n and n + 1, every kind of DNS failure, and findings no hostile record can break out of."""

import ipaddress
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaygw.core.address import Address
from relaygw.core.question import Answer, AnswerStatus, Data, Exchange, Question, settle
from relaygw.core.spf import Finding, Identity, Result, check_hello, check_mail_from
from relaygw.core.spf.check import MAX_ADDRESSES, MAX_EXPLANATION, MAX_OCTETS, check_host
from relaygw.dns.fixed import FixedResolver

CLIENT = "192.0.2.1"


def check(
    records: Mapping[str, Mapping[str, Sequence[Data]]],
    *,
    failing: Sequence[str] = (),
    client: str = CLIENT,
    local: str = "user",
    hello: str = "mail.example.org",
) -> Finding:
    return settle(
        check_host(
            client=ipaddress.ip_address(client),
            identity=Identity.MAIL_FROM,
            domain="example.org",
            local=local,
            hello=hello,
            receiver="gateway.test",
            now=1_700_000_000.5,
        ),
        FixedResolver(records, failing).answer,
    )


def policy(text: str, **others: Mapping[str, Sequence[Data]]) -> dict[str, Mapping[str, Sequence[Data]]]:
    """The zone of example.org with this policy; keyword `a__b` adds the name a.b.example.org."""
    below = {f"{name.replace('__', '.')}.example.org": node for name, node in others.items()}
    return {"example.org": {"TXT": [text.encode()]}, **below}


def test_a_finding_tells_what_decided() -> None:
    finding = check(policy("v=spf1 ip4:198.51.100.1 ~ip4:192.0.2.0/24 -all"))
    assert finding == Finding(
        result=Result.SOFTFAIL,
        identity=Identity.MAIL_FROM,
        client=CLIENT,
        domain="example.org",
        sender="user@example.org",
        hello="mail.example.org",
        mechanism="~ip4:192.0.2.0/24",
    )
    assert check(policy("v=spf1 ip4:198.51.100.1")).mechanism == "default"
    assert check(policy("no policy")).reason == "example.org has no SPF record"


@pytest.mark.parametrize(
    ("pointer", "failing", "result"),
    [
        ({}, [], Result.PERMERROR),  # RFC 7208 4.6.4: one more that asks in vain
        ({"1.2.0.192.in-addr.arpa": {"TXT": [b"x"]}}, [], Result.PERMERROR),
        ({"1.2.0.192.in-addr.arpa": {"PTR": ["other.test"]}}, [], Result.FAIL),
        ({}, ["1.2.0.192.in-addr.arpa"], Result.FAIL),  # 5.5: a DNS that fails gives no name
    ],
)
def test_a_client_without_names_is_asked_about_in_vain(
    pointer: Mapping[str, Mapping[str, Sequence[Data]]], failing: Sequence[str], result: Result
) -> None:
    zone = {**policy("v=spf1 a:one.test a:two.test ptr:example.org -all"), **pointer}
    assert check(zone, failing=failing).result is result


def test_a_term_of_any_length_is_told_in_a_few_words() -> None:
    """Findings are kept, journaled and written into fields; a record may have 16 KB."""
    zone = {**policy(f"v=spf1 exists:{'%{l}.' * 3000}example.org -all"), "*.example.org": {"A": ["127.0.0.2"]}}
    finding = check(zone, local="u")
    assert (finding.result, len(finding.mechanism)) == (Result.PASS, 300)


def test_the_identities() -> None:
    resolver = FixedResolver(
        {"mail.example.org": {"TXT": [b"v=spf1 a:%{l}.test -all"]}, "postmaster.test": {"A": [CLIENT]}}
    )
    client = ipaddress.ip_address(CLIENT)
    hello = settle(check_hello(client=client, hello="mail.example.org", receiver="r", now=0), resolver.answer)
    assert (hello.result, hello.identity, hello.sender) == (Result.PASS, Identity.HELO, "postmaster@mail.example.org")
    for sender, result, domain in (
        (None, Result.PASS, "mail.example.org"),
        (Address("other", "mail.example.org"), Result.FAIL, "mail.example.org"),
        (Address("a", "[192.0.2.1]"), Result.NONE, "[192.0.2.1]"),
    ):
        inquiry = check_mail_from(client=client, sender=sender, hello="mail.example.org", receiver="r", now=0)
        finding = settle(inquiry, resolver.answer)
        assert (finding.result, finding.domain, finding.identity) == (result, domain, Identity.MAIL_FROM)


@pytest.mark.parametrize(("count", "result"), [(10, Result.NEUTRAL), (11, Result.PERMERROR)])
def test_ten_terms_may_ask_the_dns(count: int, result: Result) -> None:
    zone = policy("v=spf1 " + " ".join(["a:there.example.org"] * count), there={"A": ["198.51.100.1"]})
    finding = check(zone)
    assert (finding.result, finding.lookups) == (result, count)


@pytest.mark.parametrize(("count", "result"), [(2, Result.NEUTRAL), (3, Result.PERMERROR)])
@pytest.mark.parametrize("kind", ["a", "mx", "exists"])
def test_two_of_them_in_vain(kind: str, count: int, result: Result) -> None:
    terms = " ".join(f"{kind}:none{number}.example.org" for number in range(count))
    assert check(policy(f"v=spf1 {terms}")).result is result


def test_the_addresses_of_mx_hosts_are_not_in_vain_for_a_client_of_the_other_family() -> None:
    exchanges = [Exchange(number, f"mx{number}.example.org") for number in range(5)]
    hosts = {f"mx{number}": {"A": ["198.51.100.1"]} for number in range(5)}
    zone = policy("v=spf1 mx -all", **hosts)
    zone["example.org"] = {**zone["example.org"], "MX": exchanges}
    assert check(zone, client="2001:db8::1").result is Result.FAIL


@pytest.mark.parametrize(("count", "result"), [(10, Result.PASS), (11, Result.PERMERROR)])
def test_ten_mx_hosts_are_looked_up(count: int, result: Result) -> None:
    zone = policy("v=spf1 mx -all", last={"A": [CLIENT]})
    exchanges = [Exchange(number, f"mx{number}.example.org") for number in range(count - 1)]
    zone["example.org"] = {**zone["example.org"], "MX": [*exchanges, Exchange(99, "last.example.org")]}
    assert check(zone).result is result


@pytest.mark.parametrize(("place", "result"), [(9, Result.PASS), (10, Result.FAIL)])
def test_ten_names_of_the_client_are_looked_at(place: int, result: Result) -> None:
    names = [f"other{number}.test" for number in range(12)]
    names[place] = "good.example.org"
    zone = policy("v=spf1 ptr -all", good={"A": [CLIENT]})
    zone["1.2.0.192.in-addr.arpa"] = {"PTR": names}
    assert check(zone).result is result


@pytest.mark.parametrize(
    ("text", "failing"),
    [
        ("v=spf1 a:down.example.org -all", "down.example.org"),
        ("v=spf1 mx:down.example.org -all", "down.example.org"),
        ("v=spf1 mx:there.example.org -all", "there.example.org A"),
        ("v=spf1 exists:down.example.org -all", "down.example.org"),
        ("v=spf1 include:down.example.org -all", "down.example.org"),
        ("v=spf1 redirect=down.example.org", "down.example.org"),
    ],
)
def test_a_failing_dns_is_a_temporary_error_with_its_reason(text: str, failing: str) -> None:
    zone = policy(text, there={"MX": [Exchange(1, "there.example.org")]})
    finding = check(zone, failing=[failing])
    assert finding.result is Result.TEMPERROR
    assert failing.split()[0] in finding.reason


def test_a_failing_reverse_lookup_only_fails_to_match() -> None:
    assert check(policy("v=spf1 ptr -all"), failing=["1.2.0.192.in-addr.arpa"]).result is Result.FAIL
    zone = policy("v=spf1 ptr -all", good={"A": [CLIENT]})
    zone["1.2.0.192.in-addr.arpa"] = {"PTR": ["bad.example.org", "good.example.org"]}
    assert check(zone, failing=["bad.example.org"]).result is Result.PASS


@pytest.mark.parametrize("text", ["v=spf1 include:none.test", "v=spf1 redirect=none.test", "v=spf1 include:a..b.test"])
def test_an_include_or_redirect_without_a_record_is_a_permanent_error(text: str) -> None:
    finding = check(policy(text))
    assert finding.result is Result.PERMERROR
    assert finding.reason


def test_no_lookup_is_made_for_a_term_after_the_one_that_decides() -> None:
    resolver = FixedResolver(policy("v=spf1 ip4:192.0.2.1 a:x.test -all"))
    inquiry = check_mail_from(
        client=ipaddress.ip_address(CLIENT), sender=Address("a", "example.org"), hello="h", receiver="r", now=0
    )
    assert settle(inquiry, resolver.answer).result is Result.PASS
    assert list(resolver.asked) == [Question("example.org", "TXT")]


@pytest.mark.parametrize(("octets", "result"), [(MAX_OCTETS, Result.FAIL), (MAX_OCTETS + 1, Result.PERMERROR)])
def test_all_records_together_have_a_length(octets: int, result: Result) -> None:
    """Cached, they cost no questions, but each message of another client reads all of them again."""
    first = "v=spf1 include:half.example.org -all"
    half = "v=spf1" + " " * (octets // 2 - len("v=spf1"))
    zone = policy(first + " " * (octets - len(half) - len(first)), half={"TXT": [half.encode()]})
    assert check(zone).result is result


@pytest.mark.parametrize("term", ["a:pool.example.org", "mx:pool.example.org"])
@pytest.mark.parametrize(("count", "result"), [(MAX_ADDRESSES, Result.FAIL), (MAX_ADDRESSES + 1, Result.PERMERROR)])
def test_so_many_addresses_are_compared(term: str, count: int, result: Result) -> None:
    """Ten terms with ten hosts of 4,000 addresses each kept a gateway busy for seconds with every message."""
    some = count // 2
    zone = policy(
        f"v=spf1 {term} a:rest.example.org -all",
        pool={"A": ["198.51.100.1"] * some, "MX": [Exchange(10, "pool.example.org")]},
        rest={"A": ["198.51.100.2"] * (count - some)},
    )
    assert check(zone).result is result


def test_a_name_of_the_client_with_many_addresses_spoils_nobodys_policy() -> None:
    zone = {
        **policy("v=spf1 ptr -all"),
        "1.2.0.192.in-addr.arpa": {"PTR": ["mail.example.org"]},
        "mail.example.org": {"A": ["198.51.100.1"] * (MAX_ADDRESSES + 1)},
    }
    assert check(zone).result is Result.FAIL
    zone["mail.example.org"] = {"A": [CLIENT, *["198.51.100.1"] * MAX_ADDRESSES]}
    assert check(zone).result is Result.PASS


def test_a_local_part_outside_ascii_matches_no_term_that_uses_it() -> None:
    zone = policy("v=spf1 exists:%{l}.x.example.org exists:%{s}.x.example.org include:%{l}.x.example.org -all")
    zone["*.x.example.org"] = {"A": [CLIENT]}
    assert check(zone, local="jörg").result is Result.FAIL
    assert check(policy("v=spf1 redirect=%{l}.x.example.org"), local="jörg").result is Result.PERMERROR
    explained = policy("v=spf1 -all exp=why.example.org", why={"TXT": [b"not you, %{l}"]})
    assert check(explained, local="jörg").explanation == "not you, j?rg"


@pytest.mark.parametrize(
    ("text", "explanation"),
    [
        (b"%{i} %{c} %{s} %{d} %{h} %{r} %{t} %{v}", f"{CLIENT} {CLIENT} user@example.org example.org "
         "mail.example.org gateway.test 1700000000 in-addr"),
        (b"x" * (MAX_EXPLANATION + 1), "x" * MAX_EXPLANATION),
        (b"two\r\n550 lines", ""),
        (b"\xff", ""),
        (b"%{x}", ""),
        (b"%{p}", "unknown"),
    ],
)  # fmt: skip
def test_explanations_stay_in_their_line(text: bytes, explanation: str) -> None:
    assert check(policy("v=spf1 -all exp=why.example.org", why={"TXT": [text]})).explanation == explanation


def test_an_explanation_costs_none_of_the_ten_lookups() -> None:
    terms = " ".join(["a:there.example.org"] * 10)
    zone = policy(f"v=spf1 {terms} -all exp=why.example.org", there={"A": ["198.51.100.1"]}, why={"TXT": [b"because"]})
    assert (check(zone).result, check(zone).explanation) == (Result.FAIL, "because")


def test_hostile_values_in_an_explanation_are_tamed() -> None:
    zone = policy("v=spf1 -all exp=why.example.org", why={"TXT": [b"%{h} %{l}"]})
    finding = check(zone, hello="a\r\nb", local="x\0y")
    assert finding.explanation == "a??b x?y"


TEXT = st.one_of(
    st.lists(
        st.sampled_from(
            ["a", "mx", "ptr", "+all", "-all", "?exists:%{i}.x.test", "include:example.org", "redirect=example.org",
             "exp=%{d}", "a:%{p}", "ip4:192.0.2.0/30", "ip6:::/0", "include:%{l}", "mx:%{h}//0", "bad", "a:%{s1r-}"]
        ),
        max_size=12,
    ).map(lambda terms: "v=spf1 " + " ".join(terms)),
    st.text(max_size=50).map(lambda text: f"v=spf1 {text}"),
)  # fmt: skip
ANSWERS = st.builds(
    Answer,
    status=st.sampled_from(AnswerStatus),
    records=st.lists(
        st.one_of(st.text(max_size=80).map(str.encode), st.builds(Exchange, st.integers(0, 9), st.text(max_size=20))),
        max_size=12,
    ).map(tuple),
)


@given(TEXT, st.text(max_size=20), st.text(max_size=70), st.ip_addresses(), st.lists(ANSWERS, max_size=8))
def test_whatever_the_dns_says_there_is_a_finding_after_few_questions(
    text: str, local: str, hello: str, client: ipaddress.IPv4Address | ipaddress.IPv6Address, answers: list[Answer]
) -> None:
    asked: list[Question] = []
    scripted = iter(answers)

    def answer(question: Question) -> Answer:
        asked.append(question)
        if question == Question("example.org", "TXT"):
            return Answer(status=AnswerStatus.FOUND, records=(text.encode(),))
        if question.type == "PTR":
            return Answer(status=AnswerStatus.FOUND, records=(hello, local))
        return next(scripted, Answer(status=AnswerStatus.NO_NAME))

    finding = settle(
        check_host(
            client=client, identity=Identity.HELO, domain="example.org", local=local, hello=hello, receiver="r", now=0
        ),
        lambda question: answer(question) if question.type not in ("A", "AAAA") else without_bytes(answer(question)),
    )
    assert isinstance(finding.result, Result)
    assert finding.explanation.isascii()
    assert not finding.explanation or finding.explanation.isprintable()
    assert len(asked) <= 1 + 10 * 11 + 10 + 2


def without_bytes(answer: Answer) -> Answer:
    return Answer(status=answer.status)
