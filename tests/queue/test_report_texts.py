"""The operator's own texts: chosen by kind and language, kept in their place, and ours where they fail."""

from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from queue_kit import make_kit, refused

from relaygw.cli.checks import parts
from relaygw.cli.checks.reports import check, sample
from relaygw.config.schema import Config, ReportsConfig
from relaygw.core.content import BytesContent
from relaygw.core.dsn import MAX_TEXT, Words, make_report
from relaygw.core.events import Reported, TaskFailed
from relaygw.core.lifecycle import Kind
from relaygw.queue.reports import reports_for
from relaygw.queue.texts import Text, TextError, Texts, load_texts
from relaygw.testing.transport import ScriptedTransport, in_turn

GERMAN = """Subject: Unzustellbar: {{ subject }}
From: Poststelle Müller & Söhne

Ihre Nachricht wurde nicht zugestellt.
{% for recipient in recipients %}
{{ recipient.address }}: {{ recipient.said or recipient.reason }}
{% endfor %}
{{ text }}
"""
ENGLISH = "Subject: Not delivered\n\nAsk {{ postmaster }}.\n"


def config(folder: Path | None, **more: object) -> Config:
    reports = ReportsConfig(templates=str(folder) if folder else None, **more)  # type: ignore[arg-type]  # as given
    return Config(hostname="mail.example.net", state="/nowhere", domains=("example.net",), reports=reports)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "failure.de.txt").write_text(GERMAN)
    (tmp_path / "failure.en.txt").write_text(ENGLISH)
    (tmp_path / "notes").write_text("is no text")
    return tmp_path


def chosen(texts: Texts, head: bytes, kind: Kind = Kind.FAILURE) -> str | None:
    text = texts.choose(kind, head)
    return text.language if text is not None else None


@pytest.mark.parametrize(
    ("head", "language"),
    [
        (b"", "en"),
        (b"Accept-Language: de-AT, en;q=0.5\r\n", "de"),
        (b"Accept-Language: fr;q=1, en;q=0.5, de;q=0.7\r\n", "de"),
        (b"Accept-Language: de;q=0\r\n", "en"),
        (b"Content-Language: de\r\n", "de"),
        (b"Accept-Language: en\r\nContent-Language: de\r\n", "en"),
        (b"Accept-Language: \xff\xfe;;;q=9,,*\r\n", "en"),
    ],
)
def test_the_language_is_that_of_the_original(folder: Path, head: bytes, language: str) -> None:
    texts = load_texts(str(folder))
    assert chosen(texts, head) == language
    assert chosen(texts, head, Kind.DELAY) is None


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_any_wish_for_a_language_is_survived(wish: bytes) -> None:
    assert Texts().choose(Kind.FAILURE, b"Accept-Language: " + wish + b"\r\n") is None


def made(text: Text | Words) -> EmailMessage:
    facts = sample(Kind.FAILURE, config(None))
    words = text if isinstance(text, Words) else text.words(facts)
    _, data = make_report(
        facts.report,
        facts.record,
        BytesContent(b"Subject: x\r\n\r\nx\r\n"),
        queue_id="q2",
        now=0.0,
        retry_until=0.0,
        by=facts.by,
        words=lambda _: words,
    )
    assert b"\r" not in data.replace(b"\r\n", b"")
    assert b"\n" not in data.replace(b"\r\n", b"")
    assert data.isascii()
    assert all(len(line) <= 998 for line in data.split(b"\r\n"))
    message = message_from_bytes(data, policy=policy.SMTP)
    assert isinstance(message, EmailMessage)
    return message


def body(message: EmailMessage) -> str:
    part = message.get_payload(0)
    assert isinstance(part, EmailMessage)
    return str(part.get_content()).replace("\r\n", "\n")


def test_a_text_is_written_with_its_fields_and_charset(folder: Path) -> None:
    message = made(load_texts(str(folder)).found[Kind.FAILURE, "de"])
    assert message["Subject"] == "Unzustellbar: Grüße"
    assert message["From"] == "Poststelle Müller & Söhne <MAILER-DAEMON@mail.example.net>"
    words = body(message)
    assert words.startswith("Ihre Nachricht wurde nicht zugestellt.\nbob@example.org: 550 5.1.1 what the host <says>")
    assert "{{ about }}" in words  # what others wrote is no template
    assert "NOT delivered" in words  # `text` is ours
    assert message.get_payload(0)["Content-Language"] == "de"  # type: ignore[index]  # a part


HOSTILE = st.text(st.one_of(st.characters(), st.sampled_from('\r\n\0\x1b\u2028=?-_"<>\\')), max_size=200)


@given(HOSTILE, HOSTILE, HOSTILE)
@settings(deadline=None, max_examples=150)
def test_nothing_a_text_says_leaves_its_place(subject: str, text: str, author: str) -> None:
    message = made(Words(subject=subject, text=text + "\r\n--=_q2--\r\n", author=author, language="en"))
    names = {name.lower() for name in message.keys()}  # noqa: SIM118
    assert names == {
        "date", "from", "to", "subject", "message-id", "in-reply-to", "references", "auto-submitted", "mime-version",
        "content-type",
    }  # fmt: skip
    assert len(message.get_payload()) == 3
    assert str(message["From"]).endswith("<MAILER-DAEMON@mail.example.net>")


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("bounce.en.txt", ENGLISH, "KIND is one of failure, delay, success, expansion, double"),
        ("failure.txt", ENGLISH, "KIND.LANGUAGE.txt"),
        ("failure.en.txt", "Hello\n\nx", 'it begins with "Subject: …"'),
        ("failure.en.txt", "Bcc: eve@example.com\n\nx", 'it begins with "Subject: …"'),
        ("failure.en.txt", "Subject: x\n\nfine\n{% if %}", "line 4: "),
        ("failure.en.txt", "Subject: x\n\n{% include 'secret' %}", "failure.en.txt"),
        ("failure.en.txt", "Subject: {{\n\nx", "failure.en.txt, line 1"),
        ("failure.en.txt", b"Subject: x\n\n\xff", "not UTF-8"),
        ("failure.en.txt", "Subject: x\n\n" + "y" * 64 * 1024, "more than 65536 octets"),
    ],
)
def test_a_text_that_cannot_be_used_is_told_with_its_place(
    tmp_path: Path, name: str, content: str | bytes, problem: str
) -> None:
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    if "include" in str(content):  # it reads, and fails when it is written
        (finding,) = check(config(tmp_path))
        assert "fails" in finding.message
        return
    with pytest.raises(TextError) as caught:
        load_texts(str(tmp_path))
    assert problem in str(caught.value)


def test_a_text_that_cannot_be_used_stops_a_start_and_a_reload(tmp_path: Path) -> None:
    (tmp_path / "failure.en.txt").write_text("Subject: x\n\n{% if %}")
    findings = [each for each in parts.check(config(tmp_path)) if "failure.en.txt" in each.message]
    assert [each.level.value for each in findings] == ["error"]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TextError, match="cannot be read"):
        load_texts(str(tmp_path / "nothing"))


@pytest.mark.parametrize(
    "template",
    [
        "{{ nothing }}",
        "{{ recipients[7].address }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{{ hostname['center'](1000000000) }}",
        "{{ hostname | attr('center')(1000000000) }}",
        "{{ 'x' * 1000000000 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ 2 ** 100000000 }}",
        "{% for a in range(1000000000) %}x{% endfor %}",
        "{{ hostname | center(1000000000) }}",
        "{{ 1 / 0 }}",
        "{{ recipients.append(1) }}",
        "{{ self }}{{ lipsum(n=1000000) }}",
    ],
)
def test_a_template_that_fails_or_reaches_too_far_is_found_by_the_check(tmp_path: Path, template: str) -> None:
    (tmp_path / "failure.en.txt").write_text(f"Subject: x\n\n{template}")
    findings = list(check(config(tmp_path)))
    if not findings:  # it is not even read
        with pytest.raises(TextError, match="line 3"):
            load_texts(str(tmp_path))
    assert all("fails" in finding.message for finding in findings)


def test_a_text_is_cut_where_it_becomes_too_long(tmp_path: Path) -> None:
    loops = "{% for a in recipients %}" * 17 + "many words" * 10 + "{% endfor %}" * 17
    (tmp_path / "failure.en.txt").write_text(f"Subject: x\n\n{loops}")
    text = load_texts(str(tmp_path)).found[Kind.FAILURE, "en"]
    assert len(text.words(sample(Kind.FAILURE, config(None))).text) == MAX_TEXT


def test_every_kind_can_be_written_with_every_value(tmp_path: Path) -> None:
    values = (
        "kind hostname postmaster sender to subject message_id queue_id size arrived until title text".split()  # noqa: SIM905
    )
    each = "address original status host said reason relayed attempts advice".split()  # noqa: SIM905
    source = "Subject: {{ title }}\n\n" + "".join(f"{{{{ {name} }}}}\n" for name in values)
    source += "{% for r in recipients %}" + "".join(f"{{{{ r.{name} }}}}" for name in each) + "{% endfor %}"
    for kind in Kind:
        (tmp_path / f"{kind.value}.en.txt").write_text(source)
    assert list(check(config(tmp_path))) == []


def test_a_language_nobody_has_texts_in_is_told(tmp_path: Path) -> None:
    (tmp_path / "failure.de.txt").write_text(GERMAN)
    (finding,) = check(config(tmp_path))
    assert (finding.level.value, finding.path) == ("warning", "reports.language")


def test_where_a_text_fails_people_read_ours_and_the_journal_says_so(tmp_path: Path) -> None:
    (tmp_path / "failure.en.txt").write_text("Subject: x\n\n{{ recipients[0].nothing }}")
    ids = iter(f"report{number}" for number in range(100))
    transport = ScriptedTransport(in_turn([refused]))
    kit = make_kit(transport, reports=reports_for(config(tmp_path), lambda: next(ids)))
    kit.send("bob@example.com")
    kit.clock.advance(0)
    assert [event.kind for event in kit.told(Reported)] == ["failure"]
    (failed,) = kit.told(TaskFailed)
    assert "failure.en.txt" in failed.task
    assert b"NOT delivered" in b"".join(transport.attempts[-1].content.chunks())
