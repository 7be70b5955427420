"""The service sees the records of its keys come and go: keys take over without a restart, and every trouble is told
once."""

from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import attrs
import pytest
from twisted.internet.defer import Deferred

from relaygw import keybook, keys
from relaygw.bridge import as_deferred
from relaygw.config.schema import Config, DkimKeyConfig, KeyRotationConfig
from relaygw.core.dkim_record import empty
from relaygw.core.dkim_rotation import Key, add
from relaygw.core.events import Event, KeyAdvanced, KeyTrouble, TaskFailed
from relaygw.core.question import Answer, AnswerStatus, Question
from relaygw.egress.dkim import DkimSigner, make_signer
from relaygw.gateway.keywatch import FIRST_LOOK, KeyWatch
from relaygw.testing.threads import InlinePool, InlineReactor

PEMS = {"s1": keys.generate("ed25519"), "s2": keys.generate("ed25519")}
HOUR = 3600.0


class Dns:
    """Answers what a test published."""

    def __init__(self) -> None:
        self.texts: dict[str, list[str]] = {}
        self.fails = False
        self.asked = 0

    def ask(self, question: Question) -> Awaitable[Answer]:
        self.asked += 1
        return as_deferred(self._answer(question))

    async def _answer(self, question: Question) -> Answer:
        if self.fails:
            return Answer(status=AnswerStatus.FAILED, reason="timeout")
        texts = self.texts.get(question.name.partition(".")[0], [])
        status = AnswerStatus.FOUND if texts else AnswerStatus.NO_NAME
        return Answer(status=status, records=tuple(text.encode() for text in texts))


@attrs.define
class InUse:
    """The parts that are in use."""

    config: Config
    signer: DkimSigner
    services: Any = None
    resolver: Any = None

    def __attrs_post_init__(self) -> None:
        self.services = self


class Site:
    """A configuration with the key s1, a book, a DNS, and the watch over them."""

    def __init__(self, folder: Path, **rotation: Any) -> None:
        (folder / "dkim").mkdir()
        for selector, pem in PEMS.items():
            (folder / "dkim" / f"{selector}.pem").write_bytes(pem)
        entry = DkimKeyConfig(domain="example.com", selector="s1", private_key=str(folder / "dkim" / "s1.pem"))
        self.config = Config(
            hostname="mx.test",
            state=str(folder),
            dkim=(entry,),
            path=str(folder / "relaygw.toml"),
            key_rotation=KeyRotationConfig(**rotation),
        )
        self.folder = folder
        self.reactor = InlineReactor()
        self.dns = Dns()
        self.events: list[Event] = []
        signer = make_signer(self.config, self.reactor, keybook.in_use(self.config))
        self.parts: Any = InUse(self.config, signer, resolver=self.dns)
        self.watch = KeyWatch(
            parts=lambda: self.parts,
            reactor=self.reactor,
            pool=InlinePool(),  # type: ignore[arg-type]  # the part of ThreadPool that is used
            write_event=self.events.append,
        )

    def publish(self, *selectors: str) -> None:
        self.dns.texts = {selector: [keys.record(PEMS[selector])] for selector in selectors}

    def add_s2(self, **facts: Any) -> None:
        algorithm, record = keys.public(PEMS["s2"])
        key = Key(
            domain="example.com",
            selector="s2",
            algorithm=algorithm,
            private_key=str(self.folder / "dkim" / "s2.pem"),
            record=record,
            made=1.0,
            since=1.0,
        )
        keybook.change_keys(self.config, lambda ring: add(ring, attrs.evolve(key, **facts)))

    def look(self) -> list[Event]:
        """What a look tells that was not told before."""
        before = len(self.events)
        ended: list[None] = []
        self.watch.look().addCallback(ended.append)
        assert ended == [None]
        return self.events[before:]

    @property
    def signing(self) -> list[str]:
        return [key.selector for key in self.parts.signer.keys]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    found = Site(tmp_path)
    found.watch.start()
    return found


def test_a_new_key_takes_over_without_a_restart(site: Site) -> None:
    site.publish("s1")
    assert site.look() == []
    site.add_s2()
    assert site.look() == []
    site.publish("s1", "s2")
    assert site.look() == [KeyAdvanced(domain="example.com", selector="s2", before="generated", stage="published")]
    site.reactor.advance(HOUR - 1)
    assert site.signing == ["s1"], "the looks of an hour do not suffice"
    site.reactor.advance(600)
    assert site.signing == ["s2"]
    assert site.events[-2:] == [
        KeyAdvanced(domain="example.com", selector="s1", before="signing", stage="retired"),
        KeyAdvanced(domain="example.com", selector="s2", before="published", stage="signing"),
    ]
    signer = make_signer(site.config, site.reactor, keybook.in_use(site.config))
    assert [key.selector for key in signer.keys] == ["s2"], "the next start knows it too"


def test_a_retired_key_is_revoked_when_no_mail_of_it_can_be_under_way(site: Site) -> None:
    site.publish("s1", "s2")
    site.add_s2()
    site.look()
    site.reactor.advance(HOUR + 600)
    site.reactor.pump([HOUR] * 24 * 7)
    (problem,) = site.watch.status()["problems"]
    assert problem == "s1._domainkey.example.com: it is revoked, and its record is still published"
    site.dns.texts["s1"] = [empty("ed25519")]
    site.look()
    assert site.watch.status()["alarms"] == 0
    assert site.signing == ["s2"]


def test_trouble_is_told_when_it_begins_and_when_it_is_over(site: Site) -> None:
    problem = "mail is signed with it, and its record is not published"
    begins = KeyTrouble(domain="example.com", selector="s1", problem=problem, serious=True)
    assert site.look() == [begins]
    assert site.look() == []
    status = site.watch.status()
    assert (status["alarms"], status["serious"], status["signing"]) == (1, 1, 1)
    assert status["problems"] == [f"s1._domainkey.example.com: {problem}"]
    site.dns.fails = True
    assert site.look() == [KeyTrouble(domain="example.com", selector="s1")], "nothing is known any more"
    assert site.watch.status()["unknown"] == 1
    site.dns.fails = False
    site.dns.texts["s1"] = [keys.record(PEMS["s2"])]
    (told,) = site.look()
    assert isinstance(told, KeyTrouble)
    assert told.problem == "mail is signed with it, and another key is published: signatures will fail"
    site.publish("s1")
    assert site.look() == [KeyTrouble(domain="example.com", selector="s1")]
    assert site.signing == ["s1"], "an alarm never stops the signing"
    assert not list((site.folder / "dkim").glob("keys.json*")), "and what is only seen is not kept"


def test_a_key_whose_file_is_gone_is_told_and_never_takes_over(site: Site) -> None:
    site.publish("s1", "s2")
    site.add_s2()
    (site.folder / "dkim" / "s2.pem").unlink()
    site.look()
    site.reactor.pump([600.0] * 12)
    troubles = [event for event in site.events if isinstance(event, KeyTrouble)]
    assert [event.problem for event in troubles] == ["its private key cannot be used: it will never sign"]
    assert site.signing == ["s1"]


def test_a_key_that_is_another_than_its_record_never_takes_over(site: Site) -> None:
    site.publish("s1", "s2")
    site.add_s2()
    (site.folder / "dkim" / "s2.pem").write_bytes(PEMS["s1"])
    site.look()
    site.reactor.pump([600.0] * 12)
    assert site.signing == ["s1"]


def test_without_automatic_it_only_looks(tmp_path: Path) -> None:
    site = Site(tmp_path, automatic=False)
    site.watch.start()
    site.publish("s1", "s2")
    site.add_s2()
    site.look()
    site.reactor.pump([600.0] * 12)
    assert site.signing == ["s1"]
    assert site.watch.status()["waiting"] == 1


def test_it_looks_in_a_moment_and_at_every_interval_until_it_is_stopped(tmp_path: Path) -> None:
    site = Site(tmp_path, interval=60.0)
    site.watch.start()
    site.reactor.advance(FIRST_LOOK - 0.1)
    assert site.dns.asked == 0
    site.reactor.advance(0.1)
    assert site.dns.asked == 1
    site.reactor.advance(60)
    assert site.dns.asked == 2
    site.look()
    assert site.dns.asked == 3
    site.reactor.advance(59.9)
    assert site.dns.asked == 3, "a look that was asked for is one of them"
    site.watch.stop()
    site.reactor.advance(600)
    assert site.dns.asked == 3
    assert site.reactor.getDelayedCalls() == []


def test_a_look_that_runs_at_the_stop_is_left_where_it_is(site: Site) -> None:
    silent: Deferred[Answer] = Deferred()
    site.parts.resolver = attrs.make_class("Silent", [])()
    site.parts.resolver.ask = lambda _: silent
    ended: list[str] = []
    for name in ("this", "next"):
        site.watch.look().addCallback(lambda _, name=name: ended.append(name))
    assert ended == []
    site.watch.stop()
    assert sorted(ended) == ["next", "this"]
    assert site.events == []
    assert site.reactor.getDelayedCalls() == []


def test_a_book_that_cannot_be_read_is_told_and_the_signing_goes_on(site: Site) -> None:
    Path(keybook.book_path(site.config.path)).write_text("no book")
    (told,) = site.look()
    assert isinstance(told, TaskFailed)
    assert "is no book of keys" in told.error
    assert site.signing == ["s1"]


def test_without_keys_nothing_is_asked(site: Site) -> None:
    config = attrs.evolve(site.config, dkim=())
    site.parts = InUse(config, make_signer(config, site.reactor, ()), resolver=site.dns)
    site.look()
    assert site.dns.asked == 0
    assert not Path(f"{keybook.book_path(config.path)}.lock").exists()


def test_where_the_book_cannot_be_written_no_step_is_taken_and_what_is_seen_is_told(site: Site) -> None:
    site.publish("s1", "s2")
    site.add_s2()
    lock = Path(f"{keybook.book_path(site.config.path)}.lock")
    lock.unlink()
    lock.mkdir()  # nobody can take it
    site.dns.texts = {"s2": [keys.record(PEMS["s2"])]}
    failed, told = site.look()
    assert isinstance(failed, TaskFailed)
    assert "cannot be written" in failed.error
    assert told == KeyTrouble(
        domain="example.com",
        selector="s1",
        problem="mail is signed with it, and its record is not published",
        serious=True,
    )
    assert site.signing == ["s1"]
    lock.rmdir()
    assert site.look() == []
    assert keybook.read(keybook.book_path(site.config.path))[0].stage.value == "published"
