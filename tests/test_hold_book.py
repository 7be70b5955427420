"""Rules that hold mail: what each condition holds, who goes first, what an operator makes and ends, what is kept."""

import json
from pathlib import Path
from typing import Any

import attrs
import pytest
from least_configuration import LEAST
from twisted.internet.task import Clock

from relaygw.config.load import parse
from relaygw.config.schema import Config
from relaygw.core.address import parse_address
from relaygw.core.content import BytesContent
from relaygw.core.envelope import Envelope, Recipient
from relaygw.core.events import Event, RuleChanged, TaskFailed
from relaygw.core.lifecycle import begin
from relaygw.core.record import Record
from relaygw.holds import FILE, MAX_RULES, HoldBook, HoldError

BASE = 'relay_domains = ["relayed.example"]\n' + LEAST + '[[route]]\ntransport = "mx"\n'


def config(*rules: str) -> Config:
    return parse(BASE + "".join(f"[[hold]]\n{rule}\n" for rule in rules), "/etc/relaygw/relaygw.toml")


def message(*recipients: str, sender: str = "news@list.example", **more: Any) -> Record:
    listed = tuple(Recipient(address=parse_address(each)) for each in recipients or ("bob@example.net",))
    envelope = Envelope(sender=parse_address(sender) if sender else None, recipients=listed)
    return attrs.evolve(begin(queue_id="q", envelope=envelope, now=1000.0), **more)


@attrs.define
class Desk:
    """A book on a clock."""

    folder: Path
    config: Config
    clock: Clock = attrs.Factory(Clock)
    events: list[Event] = attrs.Factory(list)
    places: tuple[str, ...] = ()

    def book(self) -> HoldBook:
        book = HoldBook(
            str(self.folder / FILE),
            self.config,
            now=self.clock.seconds,
            write_event=self.events.append,
            places=lambda record, state: self.places,
        )
        book.start()
        return book


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, config())


@pytest.mark.parametrize(
    ("match", "held", "free"),
    [
        ('sender = ["list.example"]', message(), message(sender="a@other.example")),
        ('sender = ["<>"]', message(sender=""), message()),
        ('recipient = ["local"]', message("a@other.net", "b@example.com"), message("a@other.net")),
        ('recipient = ["relay"]', message("a@relayed.example"), message("b@example.com")),
        ('login = ["printer"]', message(login="printer"), message(login="bob")),
        ('listener = ["mx"]', message(listener="mx"), message(listener="submission")),
        ('client = ["192.0.2.0/24"]', message(client="192.0.2.9"), message(client="198.51.100.1")),
        ('finding = ["dmarc=fail"]', message(findings=("dmarc=fail",)), message(findings=("dmarc=pass",))),
        ('header_from = ["list.example"]', message(header_from="list.example"), message(header_from="x.example")),
        ('larger_than = "1K"', message(size=1025), message(size=1024)),
        ('quarantined = "yes"', message(quarantined=True), message()),
        (
            'sender = ["list.example"]\nlarger_than = "1K"',
            message(size=2000),
            message(size=2000, sender="a@other.example"),
        ),
    ],
)
def test_each_condition(match: str, held: Record, free: Record, desk: Desk) -> None:
    desk.config = config(f'name = "r"\nreason = "why"\n[hold.match]\n{match}')
    book = desk.book()
    assert book.active
    rule = book.judge(held, b"")
    assert rule is not None
    assert (rule.name, rule.words, rule.quarantine) == ("r", "rule r: why", False)
    assert book.judge(free, b"") is None


def test_header_fields_and_destinations(desk: Desk) -> None:
    desk.config = config(
        'name = "subject"\naction = "quarantine"\nmatch = { header = { Subject = "*invoice*" } }',
        'name = "place"\nmatch = { destination = ["mx.bigmail.example"] }',
    )
    book = desk.book()
    rule = book.judge(message(), b"Subject: Your INVOICE\r\n")
    assert rule is not None
    assert rule.words == "quarantine: rule subject"
    assert book.judge(message(), b"Subject: hello\r\n") is None
    desk.places = ("bigmail", "mx.bigmail.example")
    rule = book.judge(message(), b"Subject: hello\r\n")
    assert rule is not None
    assert rule.name == "place"


def test_without_rules_nobody_is_asked(desk: Desk) -> None:
    assert not desk.book().active


def test_what_is_held_already_keeps_its_reason(desk: Desk) -> None:
    desk.config = config('name = "r"\nmatch = { sender = ["list.example"] }')
    assert desk.book().judge(message(held="quota"), b"") is None


def test_an_operator_s_rule_goes_first_is_kept_and_is_ended(desk: Desk) -> None:
    desk.config = config('name = "file"\nmatch = { sender = ["list.example"] }')
    book = desk.book()
    book.add({"name": "mine", "reason": "stolen", "match": {"login": ["bob"]}})
    again = desk.book()
    assert [(rule["name"], rule["by"]) for rule in again.all()] == [("mine", "operator"), ("file", "configuration")]
    rule = again.judge(message(login="bob"), b"")
    assert rule is not None
    assert rule.name == "mine"
    assert again.remove("mine")
    assert not again.remove("mine")
    rule = desk.book().judge(message(login="bob"), b"")
    assert rule is not None
    assert rule.name == "file"
    assert [(event.rule, event.verb) for event in desk.events if isinstance(event, RuleChanged)] == [
        ("mine", "add"),
        ("mine", "remove"),
    ]


def test_a_rule_ends_when_its_time_is_over(desk: Desk) -> None:
    book = desk.book()
    desk.clock.advance(900)
    book.add({"name": "mine", "match": {"login": ["bob"]}, "seconds": 100.0})
    assert book.judge(message(login="bob", arrived=999.9), b"") is not None
    assert book.judge(message(login="bob", arrived=1000.0), b"") is None
    assert [(rule["since"], rule["until"]) for rule in book.all()] == [(900.0, 1000.0)]
    assert [(rule["since"], rule["until"]) for rule in desk.book().all()] == [(900.0, 1000.0)]
    desk.clock.advance(100)
    assert book.all() == []
    assert not book.active
    assert desk.events[-1] == RuleChanged(rule="mine", verb="remove", reason="its time is over")


def test_a_rule_that_is_over_does_not_stand_before_the_next(desk: Desk) -> None:
    book = desk.book()
    book.add({"name": "over", "all": True, "seconds": 100.0})
    book.add({"name": "next", "match": {"login": ["bob"]}})
    rule = book.judge(message(login="bob", arrived=100.0), b"")
    assert rule is not None
    assert rule.name == "next"


def test_a_rule_that_is_over_makes_room_for_one_of_its_name(desk: Desk) -> None:
    book = desk.book()
    book.add({"name": "mine", "match": {"login": ["bob"]}, "seconds": 100.0})
    desk.clock.advance(100)
    book.add({"name": "mine", "match": {"login": ["eve"]}})
    verbs = [(event.verb, event.reason) for event in desk.events if isinstance(event, RuleChanged)]
    assert verbs == [("add", ""), ("remove", "its time is over"), ("add", "")]


def test_every_rule_is_told_as_it_was_given(desk: Desk) -> None:
    desk.config = config(
        'name = "file"\naction = "quarantine"\nreason = "why"\n'
        'match = { client = ["192.0.2.0/24"], larger_than = "1K", header = { Subject = "x*" } }'
    )
    book = desk.book()
    told = book.add({"name": "mine", "action": None, "reason": "", "match": {"login": ["bob"]}, "other": 1})
    assert book.all() == [told, book.all()[1]]
    assert told == {
        "name": "mine",
        "action": "hold",
        "reason": "",
        "match": {"login": ["bob"]},
        "by": "operator",
        "since": 0.0,
        "until": None,
    }
    assert book.all()[1] == {
        "name": "file",
        "action": "quarantine",
        "reason": "why",
        "match": {"client": ["192.0.2.0/24"], "larger_than": 1024, "header": {"Subject": "x*"}},
        "by": "configuration",
        "since": None,
        "until": None,
    }


def test_there_are_only_so_many_rules(desk: Desk) -> None:
    def rows(number: int) -> str:
        kept = ({"name": f"r{n}", "match": {"login": ["x"]}} for n in range(number))
        return json.dumps({"rules": [{"rule": rule, "since": 0.0, "until": None} for rule in kept]})

    (desk.folder / FILE).write_text(rows(MAX_RULES - 1))
    book = desk.book()
    book.add({"name": "last", "match": {"login": ["bob"]}})
    with pytest.raises(HoldError, match="there are 1000 rules already"):
        book.add({"name": "more", "match": {"login": ["bob"]}})
    book.add({"name": "last", "match": {"login": ["eve"]}})
    assert len(book.all()) == MAX_RULES


def test_a_rule_that_cannot_be_kept_is_not_in_force(desk: Desk) -> None:
    book = desk.book()
    (desk.folder / FILE).mkdir()
    with pytest.raises(IsADirectoryError):
        book.add({"name": "mine", "match": {"login": ["bob"]}})
    assert book.all() == []
    assert [path.name for path in desk.folder.iterdir()] == [FILE]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"name": "x"}, "no condition"),
        ({"name": "x", "match": {"sendr": ["a"]}}, 'did you mean "sender"'),
        ({"name": "x", "match": {"sender": ["@"]}}, "is not a pattern"),
        ({"name": "x", "match": {"client": ["here"]}}, "client"),
        ({"match": {"sender": ["a.example"]}}, "name"),
        ({"name": "x", "action": "burn", "match": {"sender": ["a.example"]}}, "allowed is"),
        ({"name": "x", "match": {"listener": ["mxx"]}}, 'no listener is named "mxx"'),
        ({"name": "x", "reason": "a\nb", "match": {"login": ["a"]}}, "one line"),
        ({"name": "file", "match": {"sender": ["a.example"]}}, "name of a rule of the configuration"),
    ],
)
def test_what_cannot_be_meant_is_refused(rule: dict[str, Any], words: str, desk: Desk) -> None:
    desk.config = config('name = "file"\nmatch = { sender = ["list.example"] }')
    book = desk.book()
    with pytest.raises(HoldError, match=words):
        book.add(rule)
    assert len(book.all()) == 1


def test_everything_is_held_where_that_is_said(desk: Desk) -> None:
    book = desk.book()
    book.add({"name": "stop", "all": True})
    assert book.judge(message(), b"") is not None


def test_a_destination_is_a_condition(desk: Desk) -> None:
    book = desk.book()
    book.add({"name": "place", "match": {"destination": ["mx.bigmail.example"]}})
    assert book.judge(message(), b"") is None
    desk.places = ("mx.bigmail.example",)
    assert book.judge(message(), b"") is not None


def test_a_rule_of_the_configuration_is_not_ended_from_outside(desk: Desk) -> None:
    desk.config = config('name = "file"\nmatch = { sender = ["list.example"] }')
    with pytest.raises(HoldError, match=r"^'file' stands in the configuration: take it out there$"):
        desk.book().remove("file")


@pytest.mark.parametrize("text", ["{", "[]", '{"rules": [{}]}', '{"rules": [{"rule": {}, "since": 1, "until": null}]}'])
def test_a_file_that_cannot_be_read_is_put_aside_and_told(text: str, desk: Desk) -> None:
    (desk.folder / FILE).write_text(text)
    assert not desk.book().active
    (event,) = desk.events
    assert isinstance(event, TaskFailed)
    assert event.task == "read the rules that hold mail"
    assert (desk.folder / f"{FILE}.unreadable").exists()


def test_a_new_configuration_keeps_what_operators_made(desk: Desk) -> None:
    book = desk.book()
    book.add({"name": "mine", "match": {"recipient": ["local"]}})
    assert book.judge(message("a@new.example"), b"") is None
    text = BASE.replace('domains = ["example.com"]', 'domains = ["new.example"]')
    book.reconfigure(parse(text, "/etc/relaygw/relaygw.toml"))
    assert book.judge(message("a@new.example"), b"") is not None


def test_a_destination_found_out_late_is_judged_by_rules_on_destinations_alone_and_once(desk: Desk) -> None:
    desk.config = config(
        'name = "all-of-eve"\nmatch = { login = ["eve"] }',
        'name = "there"\nmatch = { destination = ["mx1.there.example"] }',
        'name = "subject"\nmatch = { destination = ["else"], header = { Subject = "x*" } }',
    )
    book = desk.book()
    content = BytesContent(b"Subject: xy\r\n\r\n")

    def judged(record: Record, place: str, to: str = "bob@example.net") -> str:
        rule = book.judge_destination(record, content, parse_address(to), place)
        return rule.name if rule is not None else ""

    both = "mx1.there.example,mx2.there.example"
    assert judged(message(login="eve"), both) == "there"
    assert judged(message(login="eve"), "mx2.there.example") == ""
    assert judged(message(), "else") == "subject"
    assert judged(message(released=True), both) == ""
    assert judged(message(held="by hand"), both) == ""
    assert judged(message("a@one.example", "b@two.example"), both, "c@three.example") == ""


def test_a_rule_made_since_holds_nothing_that_came_before_it(desk: Desk) -> None:
    desk.clock.advance(1000.0)
    book = desk.book()
    book.add({"name": "there", "match": {"destination": ["there"]}})
    to, content = parse_address("bob@example.net"), BytesContent(b"")
    earlier = attrs.evolve(message(), arrived=999.0)
    for each in (book, desk.book()):
        assert each.judge_destination(earlier, content, to, "there") is None
        assert each.judge_destination(message(), content, to, "there") is not None
