"""`relaygw auth FILE`: each case in tests/data/auth is a message, a zone, and what has to be found; and how it is told.

A case is a YAML file: `message` (or `file`, beside the case), `arguments`, `zone`, what a `configuration` has besides
the least, and of the document what `expected` names; `questions` are all that were asked, in order, with their status.
"""

import io
import json
import re
import shutil
import socket
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml

from relaygw.cli.answer import UsageError
from relaygw.cli.auth import mail_of, read_file
from relaygw.cli.main import main
from relaygw.config.schema import FilterConfig
from relaygw.core.authres import compose
from relaygw.core.verdict import Phase
from relaygw.dns import read_zone
from relaygw.filters.chain import Chain, ChainResult
from relaygw.filters.uses import build_uses
from relaygw.testing.filters import make_services, make_session, make_transaction
from relaygw.testing.name_servers import root, serve
from relaygw.testing.threads import InlineReactor

FOLDER = Path(__file__).parents[1] / "data" / "auth"
CASES = sorted(FOLDER.glob("*.yaml"))
PARTS = {"spf", "dkim", "dmarc", "arc", "iprev"}

Run = Callable[..., tuple[int, Any, str]]


@pytest.fixture(autouse=True)
def _no_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RELAYGW_CONFIG", raising=False)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run_verb(*arguments: str) -> tuple[int, Any, str]:
        status = main(["--json", "auth", *arguments])
        told = capsys.readouterr()
        return status, json.loads(told.out), told.err

    return run_verb


def read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return document


_LEAST = """\
hostname = "here.example"
state = "state"
relay_domains = ["here.example"]
[[listener]]
name = "mx"
endpoint = "tcp:25"
tls = "none"
[[route]]
name = "rest"
transport = "mx"
"""


def arguments_of(path: Path, folder: Path) -> list[str]:
    """The arguments of a case, its message, its zone and its configuration written down."""
    case = read(path)
    message = folder / "message.eml"
    if "file" in case:
        shutil.copy(FOLDER / case["file"], message)
    else:
        message.write_text(case["message"], encoding="utf-8")
    zone = folder / "zone"
    if "zone_file" in case:
        zone.write_text((FOLDER / case["zone_file"]).read_text() + "\n" + case.get("zone", ""))
    else:
        zone.write_text(json.dumps(case["zone"]))
    if "configuration" in case:
        (folder / "c.toml").write_text(f"{_LEAST}{case['configuration']}")
    configured = ["--config", str(folder / "c.toml")] if "configuration" in case else []
    return [str(message), *case["arguments"], *configured, "--zone", str(zone)]


def within(expected: Any, found: Any, place: str = "") -> None:
    """Everything that is expected is found; what else is found is no matter."""
    if isinstance(expected, dict):
        for name, value in expected.items():
            within(value, found[name], f"{place}.{name}")
    elif isinstance(expected, list):
        assert len(expected) == len(found), (place, found)
        for number, value in enumerate(expected):
            within(value, found[number], f"{place}[{number}]")
    else:
        assert found == expected, place


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_what_is_found(path: Path, run: Run, tmp_path: Path) -> None:
    case = read(path)
    status, document, _ = run(*arguments_of(path, tmp_path))
    assert status == 0
    within(case["expected"], document)
    if "questions" in case:
        asked = [f"{each['name']} {each['type']} {each['status']}" for each in document["questions"]]
        assert asked == case["questions"]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_every_part_has_result_and_reason_and_every_question_its_time(path: Path, run: Run, tmp_path: Path) -> None:
    _, document, _ = run(*arguments_of(path, tmp_path))
    assert document.keys() >= PARTS
    for name in PARTS - {"dkim"}:
        assert isinstance(document[name]["result"], str), name
        assert isinstance(document[name]["reason"], str), name
        assert document[name]["reason"], name
    for signature in document["dkim"]:
        assert signature["result"] in {"pass", "fail", "neutral", "policy", "temperror", "permerror"}
        assert signature["reason"]
    for question in document["questions"]:
        assert question["milliseconds"] >= 0
        assert (question["status"] == "found") == bool(question["records"])
    assert document["authentication_results"].endswith("\r\n")


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_field_is_the_one_that_the_filters_make(path: Path, run: Run, tmp_path: Path) -> None:
    message, *given = arguments_of(path, tmp_path)
    options = dict(zip(given[::2], given[1::2], strict=True))
    _, document, _ = run(message, *given)
    clock = InlineReactor()
    clock.advance(float(options.get("--at", clock.seconds())) - clock.seconds())
    services = make_services(resolver=read_zone(options["--zone"]), clock=clock)
    passing = {"fail": "pass", "temperror": "pass"}  # else DMARC would not be asked
    configs = [FilterConfig(use=name) for name in ("iprev", "spf", "dkim", "arc", "dmarc")]
    configs[1] = FilterConfig(use="spf", options={"hello": passing, "mail_from": passing})
    chain = Chain(build_uses(configs, services), clock, lambda event: None)
    transaction = make_transaction(
        session=make_session(client=document["message"]["client"], hello=document["message"]["hello"]),
        sender=document["message"]["sender"] or None,
        content=mail_of(Path(message).read_bytes(), []),
    )
    mail = chain.ask(Phase.MAIL, transaction)
    assert isinstance(mail, ChainResult)
    data = chain.ask(Phase.DATA, attrs.evolve(transaction, results=mail.results))
    assert isinstance(data, ChainResult)
    receiver = "here.example" if "--config" in options else socket.gethostname()
    assert document["authentication_results"] == compose(receiver, mail.then(data).auth).decode()


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_people_read_the_same_in_words(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["auth", *arguments_of(path.with_suffix(".yaml"), tmp_path)]) == 0
    told = re.sub(r"\[\d+\.\d ms\]", "[0.0 ms]", capsys.readouterr().out)
    told = told.replace(f"Authentication-Results: {socket.gethostname()};", "Authentication-Results: here.example;")
    assert told == path.read_text()


MESSAGE = b"Return-Path: <a@example.com>\r\nFrom: a@example.com\r\n\r\nx\r\n"


@pytest.fixture
def empty(tmp_path: Path) -> str:
    (tmp_path / "empty.json").write_text("{}")
    return str(tmp_path / "empty.json")


@pytest.mark.parametrize(
    ("data", "note"),
    [
        (MESSAGE.replace(b"\r\n", b"\n"), "line ends were made CRLF"),
        (b"From a@example.com Mon Nov 23 06:00:00 2026\r\n" + MESSAGE, "that of a mailbox file"),
        (
            b"From a@b Mon Nov 23 06:00:00 2026\n" + MESSAGE + b"\nFrom a@b Mon Nov 23 06:01:00 2026\n" + MESSAGE,
            "more messages follow in the mailbox file: the first one is looked at",
        ),
        (MESSAGE + b"a\rb\r\n", "it has a bare CR or a NUL octet: the service refuses it"),
        (MESSAGE + b"a\0b\r\n", "it has a bare CR or a NUL octet: the service refuses it"),
        (b"no message at all\r\n", "is it a message?"),
        (b"X: y\r\n" * 10_001 + MESSAGE, "the service refuses such a message, whatever is found: 552"),
        (b"X: " + b"y" * 1024 * 1024 + b"\r\n" + MESSAGE, "the service refuses such a message, whatever is found: 552"),
        (b"DKIM-Signature: v=1\r\n" * 10 + MESSAGE, "2 more DKIM signatures were not looked at"),
        (MESSAGE, "the sender is that of Return-Path: <a@example.com>"),
    ],
)
def test_what_was_made_of_the_file_is_told(data: bytes, note: str, run: Run, empty: str, tmp_path: Path) -> None:
    (tmp_path / "m.eml").write_bytes(data)
    status, document, told = run(str(tmp_path / "m.eml"), "--ip", "192.0.2.1", "--helo", "h.example", "--zone", empty)
    assert status == 0
    assert any(note in each for each in document["notes"])
    assert note in told


def test_a_part_has_the_same_keys_whether_it_was_asked_or_not(run: Run, empty: str, tmp_path: Path) -> None:
    (tmp_path / "m.eml").write_bytes(MESSAGE)
    _, little, _ = run(str(tmp_path / "m.eml"), "--zone", empty)
    _, much, _ = run(str(tmp_path / "m.eml"), "--ip", "192.0.2.1", "--helo", "h.example", "--zone", empty)
    assert {name: set(little[name]) for name in PARTS - {"dkim"}} == {
        name: set(much[name]) for name in PARTS - {"dkim"}
    }
    assert set(little["spf"]["helo"]) == set(much["spf"]["helo"])


def test_the_message_may_come_by_a_pipe(run: Run, empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(MESSAGE)))
    status, document, _ = run("-", "--ip", "192.0.2.1", "--helo", "h.example", "--zone", empty)
    assert (status, document["message"]["sender"], document["message"]["size"]) == (0, "a@example.com", len(MESSAGE))


def test_what_is_not_known_is_not_checked(run: Run, empty: str, tmp_path: Path) -> None:
    (tmp_path / "m.eml").write_bytes(b"From: a@example.com\r\n\r\n")
    status, document, told = run(str(tmp_path / "m.eml"), "--zone", empty)
    assert status == 0
    assert {name: document[name]["result"] for name in ("spf", "iprev")} == {"spf": "none", "iprev": "none"}
    assert "without --ip there is no SPF and no iprev" in told
    assert document["message"]["sender"] == ""


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--ip", "nowhere"], 2),
        (["--from", "no address"], 2),
        (["--at", "tomorrow"], 2),
        (["--at", "inf"], 2),
        (["--at", "nan"], 2),
        (["--zone", "/nonexistent"], 2),
    ],
)
def test_wrong_usage_is_2(run: Run, tmp_path: Path, empty: str, arguments: list[str], status: int) -> None:
    (tmp_path / "m.eml").write_bytes(MESSAGE)
    assert run(str(tmp_path / "m.eml"), "--zone", empty, *arguments)[0] == status


def notes_of(filters: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    (folder / "m.eml").write_bytes(MESSAGE)
    (folder / "c.toml").write_text(_LEAST.replace("relay_domains", f"{filters.partition('[[')[0]}relay_domains"))
    with (folder / "c.toml").open("a") as file:
        file.write("".join(filters.partition("[[")[1:]))
    configured = ["--config", str(folder / "c.toml"), "--json", "auth", str(folder / "m.eml"), "--ip", "192.0.2.1"]
    (folder / "empty.json").write_text("{}")
    assert main([*configured, "--zone", str(folder / "empty.json")]) == 0
    return [note for note in json.loads(capsys.readouterr().out)["notes"] if "filter" in note]


ALL = "".join(f'[[filter]]\nuse = "{name}"\n' for name in ("spf", "dkim", "dmarc", "arc", "iprev"))
_SKIP = 'options = { skip = ["192.0.2.0/24"] }\n'


@pytest.mark.parametrize(
    ("filters", "told"),
    [
        (
            "",
            [
                "does not use the filter spf: its action is only what it would do by default",
                "does not use the filter dmarc: its action is only what it would do by default",
                "does not use the filter dkim: the service asks nothing of the kind",
                "does not use the filter arc: the service asks nothing of the kind",
                "does not use the filter iprev: the service asks nothing of the kind",
            ],
        ),
        (ALL, []),
        (ALL.replace('"dmarc"\n', '"dmarc"\nmode = "shadow"\n'), ["the filter dmarc is in shadow mode"]),
        (
            ALL.replace('"arc"\n', f'"arc"\n{_SKIP}').replace('"spf"\n', f'"spf"\n{_SKIP}'),
            ["the filter spf leaves 192.0.2.1 alone: it is in its option skip", "the filter arc leaves"],
        ),
        ('trusted_networks = ["192.0.2.0/28"]\n' + ALL, ["192.0.2.1 is in trusted_networks: the service asks none"]),
        (
            ALL.replace('"dkim"\n', '"dkim"\noptions = { actions = { none = "quarantine" } }\n'),
            ["the filter dkim answers none with quarantine, as its option actions says"],
        ),
        (
            ALL.replace('"iprev"\n', '"iprev"\noptions = { actions = { permerror = "reject" } }\n'),
            ["the filter iprev answers permerror with reject"],
        ),
    ],
)
def test_where_the_service_does_something_else_is_told(
    filters: str, told: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = notes_of(filters, tmp_path, capsys)
    assert all(word in note for word, note in zip(told, found, strict=True))


def test_options_that_no_filter_has_are_a_wrong_configuration(
    tmp_path: Path, empty: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "m.eml").write_bytes(MESSAGE)
    (tmp_path / "c.toml").write_text(f'{_LEAST}[[filter]]\nuse = "dmarc"\noptions = {{ skp = [] }}\n')
    assert main(["--config", str(tmp_path / "c.toml"), "auth", str(tmp_path / "m.eml"), "--zone", empty]) == 2
    assert "the options of the filter dmarc cannot be used: unknown option 'skp'" in capsys.readouterr().err


def test_a_sender_that_stands_in_the_file_and_is_none_is_told_as_such(run: Run, tmp_path: Path, empty: str) -> None:
    (tmp_path / "m.eml").write_bytes(b"Return-Path: <a b>\r\n\r\n")
    status, document, _ = run(str(tmp_path / "m.eml"), "--zone", empty)
    assert (status, "'a b' of Return-Path (say it with --from)" in document["error"]) == (2, True)


def test_of_a_mailbox_file_the_first_message_is_looked_at_and_no_more() -> None:
    begins = b"From a@b Mon Nov 23 06:00:00 2026\r\n"
    text = MESSAGE + b"\r\nFrom here on it is text.\r\n"
    assert mail_of(begins + text + b"\r\n" + begins + MESSAGE, []) == text
    assert mail_of(begins + text, notes := []) == text
    assert len(notes) == 1


@pytest.mark.parametrize("name", ["/nonexistent.eml", "", "."])
def test_a_file_that_cannot_be_read_is_wrong_usage_and_named(run: Run, empty: str, name: str) -> None:
    status, document, _ = run(name, "--zone", empty)
    assert status == 2
    assert document["error"].startswith(f"{name or repr(name)}: ")


def test_a_file_without_an_end_is_no_message(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="/dev/zero: this is no message: it has more than 100 octets"):
        read_file("/dev/zero", 100)
    (tmp_path / "m").write_bytes(bytes(100))
    assert read_file(str(tmp_path / "m"), 100) == bytes(100)


def test_a_file_takes_the_memory_of_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(bytes(3 << 20))
    tracemalloc.start()
    try:
        assert read_file(str(tmp_path / "m")) == bytes(3 << 20)
        assert tracemalloc.get_traced_memory()[1] < 50 << 20
    finally:
        tracemalloc.stop()


def test_a_configuration_that_was_named_is_used(tmp_path: Path, capsys: pytest.CaptureFixture[str], empty: str) -> None:
    (tmp_path / "m.eml").write_bytes(MESSAGE)
    assert main(["--config", str(tmp_path / "none.toml"), "auth", str(tmp_path / "m.eml"), "--zone", empty]) == 2
    capsys.readouterr()
    assert main(["init", str(tmp_path / "d"), "--domain", "example.net", "--hostname", "mx.example.net"]) == 0
    capsys.readouterr()
    config = str(tmp_path / "d" / "relaygw.toml")
    assert main(["--config", config, "--json", "auth", str(tmp_path / "m.eml"), "--zone", empty]) == 0
    assert "Authentication-Results: mx.example.net;" in json.loads(capsys.readouterr().out)["authentication_results"]


@pytest.mark.interop
def test_a_real_name_server_gives_the_same_results(tmp_path: Path, peer: Callable[[str], str]) -> None:
    """The zone of a case, served by NSD and asked over the network."""
    path = FOLDER / "forwarded_without_signature.yaml"
    arguments = arguments_of(path, tmp_path)[:-2]
    served = "".join(
        f"{name}. 300 IN {kind} {json.dumps(value) if kind == 'TXT' else value}\n"
        for name, node in read(path)["zone"].items()
        for kind, values in node.items()
        for value in values
    )
    with serve(tmp_path, peer("nsd"), root(served)) as address:
        assert main(["init", str(tmp_path / "d"), "--domain", "example.net", "--hostname", "mx.example.net"]) == 0
        config = tmp_path / "d" / "relaygw.toml"
        config.write_text(f'{config.read_text()}\n[dns]\nnameservers = ["{address}"]\ntimeout = 2\n')
        command = [sys.executable, "-m", "relaygw.cli", "--config", str(config), "--json", "auth", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    document = json.loads(done.stdout)
    assert done.returncode == 0
    within(read(path)["expected"], document)
    assert any(question["milliseconds"] > 0 for question in document["questions"])
