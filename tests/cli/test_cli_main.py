"""The frame of the command line: help in no time, options before and after the verb, one JSON document, exit codes."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaygw import __version__
from relaygw.cli.answer import harmless, json_text, shown, table
from relaygw.cli.context import is_missing
from relaygw.cli.main import VERBS, main, make_parser
from relaygw.core.events import TlsChecked
from relaygw.journal.history import History
from relaygw.journal.line import make_line


def test_help_names_every_verb_and_imports_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    told = capsys.readouterr().out
    assert all(f"  {verb} " in told for verb in VERBS)
    assert "exit codes" in told
    script = (
        "import sys; from relaygw.cli.main import main; main(['--help']); "
        "heavy = {'twisted', 'cryptography', 'klein', 'jinja2', 'argon2', 'dns'} & sys.modules.keys(); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    assert f"relaygw {verb}" in capsys.readouterr().out


def _parsers(verb: str, parser: Any) -> Iterator[tuple[str, Any]]:
    yield verb, parser
    for action in filter(_leads_on, parser._actions):
        for name, below in action.choices.items():
            yield from _parsers(f"{verb} {name}", below)


def _leads_on(action: Any) -> bool:
    return isinstance(action.choices, dict)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_and_those_below_say_in_a_sentence_what_they_do_and_what_each_argument_is(verb: str) -> None:
    (top,) = filter(_leads_on, make_parser(verb)._actions)
    for name, parser in _parsers(verb, top.choices[verb]):
        assert (parser.description or "")[:1].isupper(), name
        assert (parser.description or "").endswith("."), name
        assert parser.epilog, name
        assert not parser.allow_abbrev, name
        for action in parser._actions:
            if _leads_on(action):
                continue
            assert action.help, (name, action.dest)
            placeholder = action.metavar or (action.choices and "choices") or action.nargs == 0
            assert placeholder, f"{name} {action.dest} shows the name of a variable"


def test_an_option_is_never_guessed_from_its_beginning(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["queue", "remove", "--al"]) == 2
    assert "unrecognized arguments: --al" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", ["queue remove --all --config /nonexistent", "--config {} user add bob"])
def test_a_closed_standard_input_says_nothing(arguments: str, tmp_path: Path) -> None:
    assert main(["init", str(tmp_path / "d"), "--domain", "a.example"]) == 0
    given = arguments.format(tmp_path / "d" / "relaygw.toml")
    command = f"{sys.executable} -m relaygw.cli {given} <&-"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("relaygw: ")


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"relaygw {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [[], ["nonsense"], ["--nonsense"], ["queue"], ["queue", "explode"], ["--config"], ["trace"], ["dkim"], ["user"]],
)
def test_wrong_usage_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    answer = capsys.readouterr()
    assert answer.out == ""
    assert "usage: relaygw" in answer.err


@pytest.mark.parametrize(
    "arguments", [["--json"], ["nonsense", "--json"], ["--json", "--config"], ["queue", "--json", "explode"]]
)
def test_wrong_usage_is_a_document_too(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    answer = capsys.readouterr()
    assert json.loads(answer.out)["error"]
    assert "usage: relaygw" in answer.err


def test_a_wrong_configuration_is_2_with_every_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "c.toml"
    path.write_text("hostname = 3\ncolour = 1\n")
    assert main(["--config", str(path), "status"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("relaygw: the configuration cannot be used:\n")
    assert "c.toml:1: hostname: found 3" in told
    assert "c.toml:2: colour: there is no such option" in told
    assert main(["status", "--json", "--config", str(path)]) == 2
    document = json.loads(capsys.readouterr().out)
    assert {"hostname", "colour", "state"} <= {problem["path"] for problem in document["problems"]}


def test_the_configuration_is_found_by_option_then_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RELAYGW_CONFIG", str(tmp_path / "environment.toml"))
    assert main(["filters"]) == 2
    assert "environment.toml: cannot be read" in capsys.readouterr().err
    assert main(["filters", f"--config={tmp_path / 'option.toml'}"]) == 2
    assert "option.toml: cannot be read" in capsys.readouterr().err
    monkeypatch.delenv("RELAYGW_CONFIG")
    assert main(["filters"]) == 2
    told = capsys.readouterr().err
    assert (
        "/etc/relaygw/relaygw.toml: there is no such file (name yours with --config FILE or in $RELAYGW_CONFIG" in told
    )


def test_a_configuration_that_cannot_be_looked_at_is_not_missing(tmp_path: Path) -> None:
    """It is somebody else's, perhaps: then its reader says so, and nobody is told to write a new one."""
    (tmp_path / "file").touch()
    assert not is_missing(str(tmp_path / "file"))
    assert is_missing(str(tmp_path / "none"))
    assert is_missing(str(tmp_path / "file" / "below"))
    assert not is_missing(str(tmp_path / ("x" * 300)))  # an error that everybody gets, whoever runs this


def test_a_reader_that_has_enough_is_no_error(tmp_path: Path) -> None:
    main(["init", str(tmp_path / "d"), "--domain", "a.example"])
    command = f"{sys.executable} -m relaygw.cli --config {tmp_path}/d/relaygw.toml dkim record | true"
    done = subprocess.run(
        ["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (">/dev/full", 1, "relaygw: the answer cannot be written: No space left on device\n"),
        ("--json >&-", 1, "relaygw: the answer cannot be written: standard output is closed\n"),
        (">/dev/full 2>&-", 1, ""),
        ("2>/dev/full >/dev/null", 0, ""),
        ("--nonsense --json >/dev/full 2>/dev/full", 2, ""),
    ],
)
def test_an_answer_that_cannot_be_written_is_told_where_it_can(
    arguments: str, status: int, told: str, tmp_path: Path
) -> None:
    (tmp_path / "zone.json").write_text("{}")
    command = f"{sys.executable} -m relaygw.cli auth /dev/null --zone {tmp_path}/zone.json {arguments}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (status, told)


def test_what_people_should_read_never_goes_where_the_document_goes() -> None:
    command = f"{sys.executable} -m relaygw.cli --json --config /nonexistent filters 2>&-"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert json.loads(done.stdout).keys() == {"error", "problems"}


def test_values_are_words_to_people() -> None:
    assert shown(["example.com", "example.org"]) == "example.com, example.org"
    assert (shown([]), shown(True), shown(False), shown(0)) == ("none", "yes", "no", "0")
    assert shown("a\x1b[2J") == "a\\x1b[2J"


def test_tables_align_and_what_is_not_printable_stays_harmless() -> None:
    told = table(("A", "N"), [("x", 1), ("long\x1b[2J", 22)])
    assert told.splitlines() == [
        "A             N",
        "x             1",
        "long\\x1b[2J  22",
    ]


@given(st.recursive(st.text() | st.characters(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_a_document_holds_nothing_that_acts_on_a_terminal_and_stays_what_it_is(document: object) -> None:
    """C1 controls (a terminal takes U+009B as an escape sequence), direction marks and lone surrogates are escaped."""
    text = json_text(document)
    assert text.replace("\n", "").isprintable()
    assert json.loads(text) == json.loads(json.dumps(document))


@pytest.mark.parametrize("coding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_no_name_ends_a_command_whatever_the_terminal_can_show(coding: str, as_json: list[str], tmp_path: Path) -> None:
    """A configuration that is not there, named in letters that no old terminal has."""
    name = str(tmp_path / "grün-Ж-\U0001f600-\x9b.toml")
    command = [sys.executable, "-m", "relaygw.cli", *as_json, "--config", name, "filters"]
    environment = {"PYTHONIOENCODING": coding, "PYTHONUTF8": "0", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, capture_output=True, check=False, env=environment)
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    if as_json:
        assert name in json.loads(done.stdout.decode(coding))["error"]


@given(st.text())
def test_what_people_read_holds_nothing_that_acts_on_a_terminal(text: str) -> None:
    assert harmless(text).replace("\n", "").replace("\t", "").isprintable()
    assert harmless(text).count("\n") == text.count("\n")


def test_what_a_verb_forgot_to_look_at_is_printed_harmless(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Why a TLS session failed is told in the words of the peer."""
    assert main(["init", str(tmp_path / "d"), "--domain", "a.example"]) == 0
    event = TlsChecked(
        domain="b.example",
        host="mx",
        address="192.0.2.1",
        policy_type="sts",
        result="validation-failure",
        reason="\x1b[2J",
    )
    history = History(str(tmp_path / "d" / "state" / "history"), 86400.0 * 9)
    history.append([make_line(event, time.time() - 86400)])
    history.close()
    capsys.readouterr()
    main(["--config", str(tmp_path / "d" / "relaygw.toml"), "tls"])
    told = capsys.readouterr().out
    assert "validation-failure" in told
    assert "\x1b" not in told
