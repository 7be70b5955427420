"""What is said of a key: of every stage with everything the DNS may show, what is wrong and what comes next."""

import itertools

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaygw.core import dkim_record
from relaygw.core.dkim_rotation import Key, Stage, Times, View
from relaygw.core.dkim_watch import FORGOTTEN, Alarm, alarms, judge, next_step, record_value, sight
from relaygw.core.question import Answer, AnswerStatus, Question, settle

TIMES = Times(settle=3600, keep=7 * 86400)
RECORD = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
OTHER = b"v=DKIM1; k=ed25519; p=22qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
KEY = Key(domain="example.com", selector="s1", algorithm="ed25519", private_key="k.pem", record=RECORD)


def found(*texts: bytes) -> Answer:
    return Answer(status=AnswerStatus.FOUND if texts else AnswerStatus.NO_NAME, records=texts)


@pytest.mark.parametrize(
    ("answer", "view", "fault"),
    [
        (found(RECORD.encode()), View.RIGHT, ""),
        (found(RECORD.replace("v=DKIM1; ", "").replace("; ", ";").encode() + b" ; t=s"), View.RIGHT, ""),
        (found(), View.MISSING, "its record is not published"),
        (Answer(status=AnswerStatus.NO_DATA), View.MISSING, "its record is not published"),
        (found(OTHER), View.WRONG, "another key is published: signatures will fail"),
        (found(RECORD.encode(), OTHER), View.WRONG, "there are several records: keep one"),
        (found(RECORD.encode(), b"v=spf1 -all"), View.WRONG, "there are several records: keep one"),
        (found(b"nonsense"), View.WRONG, "the record cannot be read: 'nonsense' is no tag"),
        (
            found(RECORD.encode() + b"; s=" + b"x" * 9000),
            View.WRONG,
            "s=" + "x" * 198,
        ),
        (found(b"v=DKIM1; k=ed25519; p="), View.EMPTY, "its record says that it is revoked (p= is empty)"),
        (Answer(status=AnswerStatus.FAILED, reason="timeout"), View.UNKNOWN, "the DNS does not answer: timeout"),
    ],
)
def test_what_the_dns_shows(answer: Answer, view: View, fault: str) -> None:
    sighting = judge(KEY, answer)
    assert (sighting.view, sighting.fault) == (view, fault)


def test_the_record_is_asked_for_where_verifiers_ask() -> None:
    asked: list[Question] = []
    settle(sight(KEY), lambda question: asked.append(question) or found())  # type: ignore[func-returns-value]
    assert asked == [Question("s1._domainkey.example.com", "TXT")]


@pytest.mark.parametrize(("stage", "view"), list(itertools.product(Stage, View)))
def test_trouble_is_what_hurts(stage: Stage, view: View) -> None:
    told = alarms([attrs.evolve(KEY, stage=stage, view=view, fault="f", since=0.0)], 60, TIMES)
    bad = view in (View.MISSING, View.WRONG, View.EMPTY)
    expected = (
        (stage is Stage.SIGNING and bad)
        or (stage is Stage.RETIRED and bad)
        or (stage is Stage.REVOKED and view is View.RIGHT)
    )
    assert bool(told) is expected
    assert [alarm.serious for alarm in told] == [True] * (expected and stage is Stage.SIGNING) + [False] * (
        expected and stage is not Stage.SIGNING
    )


def test_words() -> None:
    missing = attrs.evolve(KEY, view=View.MISSING, fault="its record is not published")
    retired = attrs.evolve(missing, stage=Stage.RETIRED)
    assert alarms([retired], 86400, TIMES) == (
        Alarm(
            domain="example.com",
            selector="s1",
            message="mail that it signed may be under way for 6 days more, and its record is not published",
        ),
    )
    assert not alarms([missing], FORGOTTEN - 1, TIMES)
    (waiting,) = alarms([missing], FORGOTTEN, TIMES)
    assert waiting.message == "it waits for its record to be published, for 7 days now"
    named = attrs.evolve(missing, configured=True)
    assert [alarm.serious for alarm in alarms([named], 0, TIMES)] == [True], "the configuration has it sign"
    assert next_step(named, 0, TIMES) == "it signs, because the configuration names it; publish its record"


@pytest.mark.parametrize(
    ("stage", "facts", "words"),
    [
        (Stage.GENERATED, {}, "publish its record; it signs when the DNS shows it"),
        (Stage.PUBLISHED, {"seen": 100.0}, "its record must be seen for 60 minutes more; then it signs by itself"),
        (Stage.SEEN, {}, "it takes over by itself"),
        (Stage.SIGNING, {"view": View.RIGHT}, ""),
        (Stage.SIGNING, {"view": View.MISSING}, "publish its record"),
        (Stage.RETIRED, {}, "leave its record for 7 days more; then it is revoked by itself"),
        (Stage.REVOKED, {"view": View.EMPTY}, "relaygw dkim forget example.com s1"),
        (
            Stage.REVOKED,
            {"view": View.RIGHT},
            "publish the empty record, or remove it; then: relaygw dkim forget example.com s1",
        ),
    ],
)
def test_what_comes_next(stage: Stage, facts: dict[str, object], words: str) -> None:
    key = attrs.evolve(KEY, stage=stage, since=100.0, **facts)  # type: ignore[arg-type]  # any of its fields
    assert next_step(key, 100.0, TIMES) == words
    by_hand = next_step(key, 100.0, TIMES, automatic=False)
    assert by_hand == words.replace("by itself", "with: relaygw dkim rotate example.com")


@pytest.mark.parametrize("stage", Stage)
def test_only_a_revoked_key_has_an_empty_record(stage: Stage) -> None:
    value = record_value(attrs.evolve(KEY, stage=stage))
    assert value == (dkim_record.empty("ed25519") if stage is Stage.REVOKED else RECORD)
    assert dkim_record.empty("rsa") == "v=DKIM1; k=rsa; p="


@given(st.lists(st.binary(max_size=80), max_size=3).map(tuple))
def test_any_records_are_a_sighting(texts: tuple[bytes, ...]) -> None:
    sighting = judge(KEY, found(*texts))
    assert (sighting.view is View.RIGHT) == (not sighting.fault)
