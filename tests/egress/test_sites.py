"""Domains with the same mail exchangers, or of one provider, are one destination; what is not known is its own."""

import pytest
from twisted.internet.task import Clock

from relaygw.core.mx import exchanges_of
from relaygw.core.providers import PROVIDERS
from relaygw.core.question import Answer, AnswerStatus, Exchange, Question
from relaygw.core.shaping import Provided, compile_providers
from relaygw.egress.sites import FRESH, REMEMBERED, UNKNOWN, Sites


def sites(clock: Clock, *configured: Provided) -> Sites:
    return Sites(compile_providers(configured, PROVIDERS), clock.seconds)


def test_a_domain_is_its_own_until_its_exchangers_are_known() -> None:
    clock = Clock()
    book = sites(clock)
    assert (book.site("one.example"), book.fresh("one.example")) == ("one.example", False)
    book.learn("one.example", ["MX2.host.example.", "mx1.host.example"])
    book.learn("two.example", ["mx1.host.example", "mx2.host.example"])
    assert book.site("one.example") == book.site("two.example") == "mx1.host.example,mx2.host.example"
    assert book.fresh("one.example")
    clock.advance(FRESH)
    assert not book.fresh("one.example")
    assert book.site("one.example") == "mx1.host.example,mx2.host.example", "believed until there is an answer"


def test_the_domains_of_a_provider_are_one_whatever_their_hosts() -> None:
    book = sites(Clock())
    book.learn("a.example", ["a-example.mail.protection.outlook.com"])
    book.learn("b.example", ["b-example.mail.protection.outlook.com"])
    book.learn("c.example", ["aspmx.l.google.com", "alt1.aspmx.l.google.com"])
    book.learn("d.example", ["aspmx.l.google.com", "mx.elsewhere.example"])
    assert [book.site(f"{each}.example") for each in "abcd"] == [
        "microsoft", "microsoft", "google", "aspmx.l.google.com,mx.elsewhere.example",
    ]  # fmt: skip


def test_the_configuration_draws_its_own_borders() -> None:
    book = sites(
        Clock(), Provided(name="ours", domain=("a.example", ".b.example")), Provided(name="w", mx=(".l.google.com",))
    )
    book.learn("c.example", ["aspmx.l.google.com"])
    assert [book.site(each) for each in ("a.example", "x.b.example", "b.example", "c.example")] == [
        "ours", "ours", "b.example", "w",
    ]  # fmt: skip
    assert book.fresh("a.example"), "nothing need be asked"


def test_no_answer_is_asked_again_soon_and_literals_never() -> None:
    clock = Clock()
    book = sites(clock)
    book.missed("a.example")
    assert (book.site("a.example"), book.fresh("a.example")) == ("a.example", True)
    clock.advance(UNKNOWN)
    assert not book.fresh("a.example")
    assert book.fresh("[192.0.2.1]")


def test_memory_is_bounded_and_so_are_names() -> None:
    book = sites(Clock())
    for number in range(REMEMBERED + 1):
        book.learn(f"d{number}.example", ["mx.example"])
    assert book.site("d0.example") == "d0.example"
    assert book.site("d1.example") == "mx.example"
    names = [[f"{letter * 50}{number}.example" for number in range(10)] for letter in "ab"]
    book.learn("x.example", names[0])
    book.learn("y.example", names[1])
    assert len(book.site("x.example")) <= 200
    assert book.site("x.example") != book.site("y.example")


def test_the_exchangers_are_asked_with_one_question() -> None:
    inquiry = exchanges_of("a.example")
    assert next(inquiry) == Question("a.example", "MX")
    found = Answer(status=AnswerStatus.FOUND, records=(Exchange(10, "mx2.example"), Exchange(5, "mx1.example")))
    for answer, wanted in (
        (found, ("mx1.example", "mx2.example")),
        (Answer(status=AnswerStatus.NO_DATA), ()),
        (Answer(status=AnswerStatus.FAILED, reason="timeout"), None),
    ):
        inquiry = exchanges_of("a.example")
        next(inquiry)
        with pytest.raises(StopIteration) as stop:
            inquiry.send(answer)
        assert stop.value.value == wanted
