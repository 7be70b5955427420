"""Findings of SPF hold exactly as long as the answers they were made from, and only for whom they are true."""

import ipaddress
from collections.abc import Sequence

import pytest

from relaygw.core.address import Address
from relaygw.core.question import Answer, AnswerStatus, Data, Question, settle
from relaygw.core.spf import Finding, Memory, Result

CLIENT = ipaddress.ip_address("192.0.2.1")
OTHER = ipaddress.ip_address("192.0.2.2")


class Names:
    """TXT and A records with a time to live of their own; what is not there does not exist, for `negative` seconds."""

    def __init__(self, records: dict[str, tuple[int, Sequence[Data]]], negative: int = 60) -> None:
        self.records = records
        self.negative = negative
        self.asked: list[str] = []

    def answer(self, question: Question) -> Answer:
        self.asked.append(question.name)
        ttl, records = self.records.get(question.name, (self.negative, ()))
        if records == ("failing",):
            return Answer(status=AnswerStatus.FAILED, reason="no answer")
        status = AnswerStatus.FOUND if records else AnswerStatus.NO_NAME
        return Answer(status=status, records=tuple(records), ttl=ttl)


def check(
    memory: Memory,
    names: Names,
    sender: str = "a@x.test",
    *,
    client: object = CLIENT,
    hello: str = "h.test",
    now: float = 0,
) -> Finding:
    local, _, domain = sender.partition("@")
    assert isinstance(client, ipaddress.IPv4Address)
    inquiry = memory.check_mail_from(client=client, sender=Address(local, domain), hello=hello, now=now)
    return settle(inquiry, names.answer)


def test_it_holds_until_the_first_of_its_answers_ends() -> None:
    names = Names({"x.test": (300, [b"v=spf1 include:y.test -all"]), "y.test": (100, [b"v=spf1 ip4:192.0.2.1 -all"])})
    memory = Memory("r.test", 10)
    for now, questions in ((0, 2), (99.9, 2), (100, 4), (199, 4)):
        assert check(memory, names, now=now).result is Result.PASS
        assert len(names.asked) == questions


def test_another_sender_of_the_domain_reads_his_own_name() -> None:
    names = Names({"x.test": (300, [b"v=spf1 -all"])})
    memory = Memory("r.test", 10)
    assert check(memory, names).sender == "a@x.test"
    found = check(memory, names, "b@x.test")
    assert (found.sender, found.result, found.mechanism, len(names.asked)) == ("b@x.test", Result.FAIL, "-all", 1)


def test_another_hello_name_of_the_client_is_told_as_it_is() -> None:
    names = Names({"x.test": (300, [b"v=spf1 -all"])})
    memory = Memory("r.test", 10)
    assert [check(memory, names, hello=hello).hello for hello in ("h.test", "g.test", "h.test")] == [
        "h.test", "g.test", "h.test"
    ]  # fmt: skip
    assert len(names.asked) == 1


def test_another_client_is_judged_anew() -> None:
    names = Names({"x.test": (300, [b"v=spf1 ip4:192.0.2.1 -all"])})
    memory = Memory("r.test", 10)
    assert [check(memory, names, client=client).result for client in (CLIENT, OTHER, CLIENT)] == [
        Result.PASS, Result.FAIL, Result.PASS
    ]  # fmt: skip
    assert len(names.asked) == 2


@pytest.mark.parametrize("macro", ["%{l}", "%{s}", "%{h}", "%{L}"])
def test_what_depends_on_the_sender_is_not_remembered(macro: str) -> None:
    names = Names(
        {
            "x.test": (300, [f"v=spf1 exists:{macro}.y.test -all".encode()]),
            "a.y.test": (300, ["127.0.0.2"]),
        }
    )
    memory = Memory("r.test", 10)
    found = [check(memory, names, sender).result for sender in ("a@x.test", "b@x.test")]
    assert found[1] is Result.FAIL
    assert len(memory) == 0


def test_what_depends_on_client_and_domain_only_is_remembered() -> None:
    names = Names({"x.test": (300, [b"v=spf1 exists:%{ir}.%{d}.%{o} -all"])}, negative=50)
    memory = Memory("r.test", 10)
    for now, questions in ((0, 2), (49, 2), (50, 4)):
        assert check(memory, names, now=now).result is Result.FAIL
        assert len(names.asked) == questions


def test_an_explanation_with_the_time_in_it_is_not_remembered() -> None:
    names = Names({"x.test": (300, [b"v=spf1 -all exp=e.test"]), "e.test": (300, [b"at %{t}"])})
    memory = Memory("r.test", 10)
    assert [check(memory, names, now=now).explanation for now in (1, 2)] == ["at 1", "at 2"]


@pytest.mark.parametrize("broken", ["x.test", "y.test"])
def test_a_failing_dns_is_asked_again(broken: str) -> None:
    names = Names({"x.test": (300, [b"v=spf1 include:y.test -all"]), "y.test": (300, [b"v=spf1 -all"])})
    names.records[broken] = (300, ("failing",))
    memory = Memory("r.test", 10)
    assert [check(memory, names).result for _ in range(2)] == [Result.TEMPERROR] * 2
    assert names.asked.count("x.test") == 2


def test_no_more_is_remembered_than_was_allowed() -> None:
    names = Names({f"{name}.test": (300, [b"v=spf1 -all"]) for name in "xyz"})
    memory = Memory("r.test", 2)
    for sender in ("a@x.test", "a@y.test", "a@x.test", "a@z.test", "a@x.test"):
        check(memory, names, sender)
    assert names.asked == ["x.test", "y.test", "z.test"]
    assert len(memory) == 2
    check(memory, names, "a@y.test")
    assert names.asked[-1] == "y.test"


def test_a_hello_name_is_remembered_apart_from_the_sender_domain() -> None:
    names = Names({"h.test": (300, [b"v=spf1 -all"])})
    memory = Memory("r.test", 10)
    for _ in range(2):
        found = settle(memory.check_hello(client=CLIENT, hello="h.test", now=0), names.answer)
        null = settle(memory.check_mail_from(client=CLIENT, sender=None, hello="h.test", now=0), names.answer)
        assert (found.identity.value, null.identity.value) == ("helo", "mailfrom")
        assert found.sender == null.sender == "postmaster@h.test"
    assert len(names.asked) == 2
