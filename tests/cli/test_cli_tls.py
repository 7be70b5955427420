"""`relaygw tls` reports from the history that the journal left, whether the service runs or not."""

import contextlib
import io
import json

import pytest

from relaygw.cli.main import main
from relaygw.core.events import Connected, Event, TlsChecked
from relaygw.journal.history import History
from relaygw.journal.line import make_line

DAY = "2026-10-05"
NOON = 1_791_201_600.0


def session(domain: str, **facts: object) -> TlsChecked:
    fixed = {"queue_id": "q", "host": f"mx.{domain}", "address": "192.0.2.7", "policy_type": "no-policy-found"}
    return TlsChecked(domain=domain, **{**fixed, **facts})  # type: ignore[arg-type]  # fields of the event


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A configuration whose history has the sessions of a day, and one of the next."""
    folder = tmp_path_factory.mktemp("tls") / "d"
    with contextlib.redirect_stdout(io.StringIO()):
        assert main(["init", str(folder), "--domain", "ours.example", "--hostname", "relay.ours.example"]) == 0
    history = History(str(folder / "state" / "history"), 30 * 86400)
    dane = {"policy_type": "tlsa", "policy": ("3 1 1 00",), "mx_patterns": ("mx.a.example",)}
    events: list[tuple[float, Event]] = [
        (NOON, session("a.example", delivering=True, tls="TLSv1.3", **dane)),
        (
            NOON,
            session("a.example", result="validation-failure", reason="no record is for it", source="192.0.2.1", **dane),
        ),
        (NOON, Connected(session="s", client="192.0.2.9", listener='"event":"tls_checked"')),
        (NOON, session("b.example", delivering=True, tls="TLSv1.3")),
        (NOON + 86400, session("c.example", delivering=True)),
    ]
    history.append([make_line(event, now) for now, event in events])
    history.close()
    return str(folder / "relaygw.toml")


def test_what_a_day_came_to(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", config, "tls", DAY]) == 0
    assert capsys.readouterr().out == (
        "a.example  tlsa  1 well, 1 not\n"
        "  1 x validation-failure at mx.a.example: no record is for it\n"
        "b.example  no-policy-found  1 well, 0 not\n"
    )


def test_reports_as_others_read_them(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", config, "--json", "tls", DAY, "--domain", "A.example"]) == 0
    [report] = json.loads(capsys.readouterr().out)
    assert report["organization-name"] == "relay.ours.example"
    assert report["contact-info"] == "postmaster@ours.example"
    [part] = report["policies"]
    assert part["policy"]["policy-string"] == ["3 1 1 00"]
    assert part["failure-details"][0]["sending-mta-ip"] == "192.0.2.1"


@pytest.mark.parametrize("day", ["2026-10-04", "1999-01-01"])
def test_a_day_of_which_nothing_is_known(config: str, day: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", config, "tls", day]) == 1
    assert capsys.readouterr().out == f"No next hop was talked to on {day}.\n"


def test_what_is_no_day_is_wrong_usage(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", config, "tls", "yesterday"]) == 2
    assert "'yesterday' is no day such as 2026-10-05" in capsys.readouterr().err
