"""Fetching and keeping MTA-STS policies: when they are asked for, how long they hold, what happens when they vanish."""

from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest
from clocks import put_back
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from relaygw.core.events import Event, PolicyNotRenewed
from relaygw.core.question import Answer, AnswerStatus, Question
from relaygw.core.sts import Mode
from relaygw.egress.https import HttpsError
from relaygw.egress.sts import MAX_KNOWN, PAUSE, ROUND, PolicyFolder, StsFound, StsPolicies

DOMAIN, OTHER = "example.org", "other.example"
DAY = 86400.0


def policy(mode: str = "enforce", max_age: float = 10 * DAY) -> bytes:
    return f"version: STSv1\nmode: {mode}\nmx: mx.example.org\nmax_age: {int(max_age)}\n".encode()


class World:
    """A domain with a record and a policy server; both may be changed."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.clock.advance(1_000_000)
        self.folder = folder
        self.id: str | None = "1"
        self.status = AnswerStatus.FOUND
        self.page: Any = policy()
        self.fetched: list[str] = []
        self.spawned: list[Deferred[Any]] = []
        self.events: list[Event] = []
        self.restart()

    def restart(self) -> None:
        folder = PolicyFolder(str(self.folder / "p"))
        self.policies = StsPolicies(self, folder, self.clock, self.fetch, self.spawn, self.events.append)  # type: ignore[arg-type]  # a resolver by its one method

    async def ask(self, question: Question) -> Answer:
        assert question in (Question(f"_mta-sts.{DOMAIN}", "TXT"), Question(f"_mta-sts.{OTHER}", "TXT"))
        if OTHER in question.name:
            return Answer(status=AnswerStatus.NO_NAME)
        if self.id is None or self.status is not AnswerStatus.FOUND:
            return Answer(status=AnswerStatus.NO_NAME if self.status is AnswerStatus.FOUND else self.status)
        return Answer(status=AnswerStatus.FOUND, records=(f"v=STSv1; id={self.id}".encode(),))

    async def fetch(self, domain: str) -> bytes:
        self.fetched.append(domain)
        page = await self.page if isinstance(self.page, Deferred) else self.page
        if isinstance(page, Exception):
            raise page
        assert isinstance(page, bytes)
        return page

    def spawn(self, name: str, awaitable: Awaitable[Any]) -> None:
        self.spawned.append(Deferred.fromCoroutine(awaitable))  # type: ignore[arg-type]  # it is one

    def begin(self) -> Deferred[StsFound]:
        return Deferred.fromCoroutine(self.policies.find(DOMAIN))

    def find(self) -> StsFound:
        found: list[StsFound] = []
        self.begin().addCallback(found.append)
        return found[0]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_policy_is_fetched_once_for_its_id(world: World) -> None:
    found = [world.find() for _ in range(3)]
    assert {each.policy.mode for each in found if each.policy} == {Mode.ENFORCE}
    assert world.fetched == [DOMAIN]
    world.id, world.page = "2", policy("testing")
    assert world.find().policy.mode is Mode.TESTING  # type: ignore[union-attr]  # there is one
    assert len(world.fetched) == 2


def test_nothing_is_fetched_without_an_announcement(world: World) -> None:
    world.id = None
    assert world.find() == StsFound(why="the domain announces none")
    assert world.fetched == []


def test_it_survives_a_restart(world: World) -> None:
    world.find()
    world.restart()
    assert world.find().policy is not None
    assert len(world.fetched) == 1


@pytest.mark.parametrize("damage", ["record", "dns", "server", "policy"])
def test_the_last_good_policy_holds_whatever_is_suppressed(world: World, damage: str) -> None:
    """RFC 8461 5.1 and 10.2: until its age is over."""
    world.find()
    if damage == "record":
        world.id = None
    elif damage == "dns":
        world.status = AnswerStatus.FAILED
    else:
        world.id = "2"
        world.page = HttpsError("refused") if damage == "server" else b"rubbish"
    world.restart()
    world.clock.advance(10 * DAY - 1)
    assert world.find().policy is not None
    world.clock.advance(PAUSE)
    assert world.find().policy is None


def test_a_server_that_failed_is_asked_again_when_the_clock_was_put_back(world: World) -> None:
    world.clock.advance(7200)
    page, world.page = world.page, HttpsError("no network yet")
    assert world.find().policy is None
    world.page = page
    assert world.find().policy is None
    put_back(world.clock, 3600)
    assert world.find().policy is not None


@pytest.mark.parametrize(
    ("page", "failure"),
    [
        (HttpsError("refused"), "sts-policy-fetch-error"),
        (HttpsError("expired", untrusted=True), "sts-webpki-invalid"),
        (b"<html>", "sts-policy-invalid"),
    ],
)
def test_a_failure_has_the_word_of_reports_and_is_not_repeated_for_a_while(
    world: World, page: Any, failure: str
) -> None:
    world.page = page
    assert [world.find().failure for _ in range(2)] == [failure] * 2
    assert len(world.fetched) == 1
    world.clock.advance(PAUSE)
    world.page = policy()
    assert world.find().policy is not None


def test_a_policy_of_none_is_none(world: World) -> None:
    world.page = policy("none")
    assert world.find() == StsFound(why="the domain's policy says none")
    assert len(world.fetched) == 1


def test_those_who_ask_meanwhile_share_one_fetch(world: World) -> None:
    world.page = waiting = Deferred()
    answers: list[StsFound] = []
    for _ in range(3):
        world.begin().addCallback(answers.append)
    assert answers == []
    waiting.callback(policy())
    assert [each.policy is not None for each in answers] == [True] * 3
    assert len(world.fetched) == 1


def test_those_who_wait_are_told_when_the_fetch_is_cancelled(world: World) -> None:
    world.page = Deferred()
    first = world.begin()
    answers: list[StsFound] = []
    world.begin().addCallback(answers.append)
    first.addErrback(lambda _: None)
    first.cancel()
    assert [each.failure for each in answers] == ["sts-policy-fetch-error"]


def test_an_ageing_policy_is_fetched_again_beside_the_mail(world: World) -> None:
    world.find()
    world.clock.advance(DAY + 1)
    world.page = policy("testing")
    assert world.find().policy.mode is Mode.ENFORCE  # type: ignore[union-attr]  # there is one
    assert world.fetched == [DOMAIN] * 2
    assert world.find().policy.mode is Mode.TESTING  # type: ignore[union-attr]  # there is one


def test_policies_of_domains_without_mail_are_fetched_again_too(world: World) -> None:
    """Else whoever suppresses the record need only wait until the policy ends (RFC 8461 10.2)."""
    world.find()
    world.restart()
    world.clock.advance(DAY + 1)
    Deferred.fromCoroutine(world.policies.find(OTHER))
    assert len(world.fetched) == 1
    world.clock.advance(0)
    assert world.fetched == [DOMAIN] * 2
    world.clock.advance(ROUND)
    Deferred.fromCoroutine(world.policies.find(OTHER))
    world.clock.advance(0)
    assert len(world.fetched) == 2, "it is young again"
    assert world.policies._known[DOMAIN].fetched == 1_000_000 + DAY + 1  # type: ignore[union-attr]  # it is known


def test_an_operator_is_told_once_a_day_that_a_kept_policy_cannot_be_fetched_again(world: World) -> None:
    """RFC 8461 3.3."""
    world.find()
    world.page = HttpsError("no connection")
    for _ in range(3):
        world.clock.advance(DAY / 2 + PAUSE)
        world.find()
    reason = "its policy cannot be fetched: no connection"
    facts = {"domain": DOMAIN, "mode": "enforce", "result": "sts-policy-fetch-error", "reason": reason}
    left = int(9 * DAY - 2 * PAUSE)
    assert world.events == [PolicyNotRenewed(**facts, seconds=left)]  # type: ignore[arg-type]  # its fields
    world.clock.advance(DAY)
    world.find()
    assert len(world.events) == 2
    world.page = policy()
    world.clock.advance(PAUSE)
    world.find()
    world.page = HttpsError("no connection")
    world.clock.advance(DAY + 1)
    world.find()
    assert len(world.events) == 3, "it is told of the next failure at once"


def test_a_first_policy_that_cannot_be_fetched_is_no_news(world: World) -> None:
    world.page = HttpsError("no connection")
    world.find()
    assert world.events == []


def test_a_damaged_file_costs_a_fetch(world: World) -> None:
    world.find()
    (world.folder / "p" / f"{DOMAIN}.json").write_text("{")
    world.restart()
    assert world.find().policy is not None
    assert len(world.fetched) == 2


def test_a_folder_that_cannot_be_written_costs_nothing_else(world: World) -> None:
    (world.folder / "p").write_text("a file in its place")
    assert world.find().policy is not None


def test_what_is_remembered_is_bounded(world: World) -> None:
    for number in range(MAX_KNOWN + 5):
        world.policies._remember(f"d{number}.example", None)
    assert len(world.policies._known) == MAX_KNOWN
