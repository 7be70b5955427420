"""Whatever a file holds, and whatever the DNS answers, there is an evaluation with every part, as JSON and in words."""

import io
import json
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relaygw.cli.asking import Progress
from relaygw.cli.auth import mail_of
from relaygw.cli.direct import run_now
from relaygw.cli.evaluation import Case, evaluate
from relaygw.cli.evaluation_shapes import document_of, text_of
from relaygw.core.address import parse_address
from relaygw.core.client import parse_client
from relaygw.core.content import BytesContent
from relaygw.core.question import Answer, AnswerStatus, Question
from relaygw.dns import Asked, FixedResolver, RecordingResolver

NAMES = (
    b"From",
    b"DKIM-Signature",
    b"ARC-Seal",
    b"ARC-Message-Signature",
    b"ARC-Authentication-Results",
    b"To",
    b"\xff",
)
FIELDS = st.tuples(st.sampled_from(NAMES), st.binary(max_size=80)).map(lambda pair: pair[0] + b": " + pair[1] + b"\r\n")
MESSAGES = st.binary(max_size=200) | st.lists(FIELDS, max_size=6).map(b"".join)
TEXTS = st.binary(max_size=40) | st.sampled_from([b"v=spf1 +all", b"v=spf1 exists:%{h} -all", b"v=DMARC1; p=reject"])


@given(MESSAGES, st.text(max_size=30), st.lists(TEXTS, max_size=2))
@example(b"", "", [])
@example(b"\n", "\x00", [])
@example(b"From: a@b.example, c@d.example\r\n\r\n", "h.example", [b"v=DMARC1; p=reject"])
def test_any_message_is_evaluated(data: bytes, hello: str, texts: list[bytes]) -> None:
    notes: list[str] = []
    case = Case(
        content=BytesContent(mail_of(data, notes)),
        client=parse_client("192.0.2.1"),
        hello=hello,
        sender=parse_address("a@b.example"),
        receiver="here.example",
        now=1_790_000_000,
    )
    recorder = RecordingResolver(FixedResolver({"*": {"TXT": texts}} if texts else {}), lambda: 0.0)
    found = run_now(evaluate(case, recorder))
    document = document_of(case, found, recorder.asked, notes)
    assert json.loads(json.dumps(document)).keys() >= {"spf", "dkim", "dmarc", "arc", "iprev"}
    told = text_of(document, recorder.asked)
    assert all(line.isprintable() for line in told.replace("\t", "").split("\n"))


def test_questions_are_kept_with_their_answers_and_times() -> None:
    moments = iter([1.0, 1.25])
    told: list[Asked] = []
    recorder = RecordingResolver(FixedResolver({"a.test": {"A": ["192.0.2.1"]}}), lambda: next(moments), told.append)
    answer = run_now(recorder.ask(Question("a.test", "A")))
    assert answer == Answer(status=AnswerStatus.FOUND, records=("192.0.2.1",), ttl=300)
    assert recorder.asked == told == [Asked(question=Question("a.test", "A"), answer=answer, milliseconds=250.0)]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_who_waits_at_a_terminal_sees_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked(question=Question("a.test\x1b[2J", "MX"), answer=Answer(status=AnswerStatus.NO_NAME), milliseconds=1)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = Progress(True)
    progress.told(asked)
    progress.end()
    assert terminal.getvalue() == "\r1 answers; MX of a.test\\x1b[2J\x1b[K\r\x1b[K"
    silent = Terminal()
    monkeypatch.setattr(sys, "stderr", silent)
    Progress(False).told(asked)
    assert silent.getvalue() == ""
