"""The operators' verbs on a working directory while no service runs: counts and questions, the way back, another way,
rules, the spool, and what would become of a message."""

import contextlib
import io
import json
import os
import pty
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from operators import message
from verbs import DATA, Run, fill, init

from relaygw.cli.main import main


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = init(tmp_path_factory.mktemp("hands") / "d", "--user", "alice:secret", "--smarthost", "127.0.0.1:25")
    fill(
        folder,
        message("0a", "a@example.com", "b@world.example", "c@partner.example", reply="try later"),
        message("0b", "x@partner.example", "alice@example.com", held="rule lists"),
        message("0c", "x@partner.example", "b@world.example"),
    )
    return folder


def ids(run: Run, *arguments: str) -> list[str]:
    return [each["id"] for each in run("queue", "list", *arguments)[1]]


def test_a_dry_run_changes_nothing(run: Run, text: Callable[..., str]) -> None:
    status, document, _ = run("queue", "remove", "--recipient", "world.example", "--dry-run")
    assert (status, document["messages"], document["recipients"]) == (0, 2, 2)
    assert (
        text("queue", "bounce", "--all", "--dry-run")
        == "3 messages with 4 recipients that wait would be meant; nothing was changed.\n"
    )
    assert ids(run) == ["0a", "0b", "0c"]


def test_a_removal_of_some_recipients_and_the_way_back(run: Run, text: Callable[..., str]) -> None:
    run("queue", "remove", "--recipient", "world.example", "--reason", "oops")
    assert ids(run) == ["0a", "0b"]
    status, listed, _ = run("queue", "undo", "--list")
    assert (status, [each["id"] for each in listed]) == (0, ["0a", "0c"])
    assert "REMOVED RECIPIENTS" in text("queue", "undo", "--list")
    assert run("queue", "undo", "zz")[0] == 1
    assert "`relaygw queue undo 0c` brings it back" in run("queue", "show", "0c")[2]
    status, document, _ = run("queue", "undo", "--removed-within", "1h")
    assert (status, sorted(each["id"] for each in document["messages"])) == (0, ["0a", "0c"])
    shown = run("queue", "show", "0a")[1][0]
    assert [each["progress"] for each in shown["recipients"]] == ["waiting", "waiting"]
    assert [each["attempts"] for each in shown["recipients"]] == [1, 1]
    assert run("queue", "undo", "--list")[1] == []


def test_without_a_trash_nothing_comes_back(run: Run, folder: Path) -> None:
    config = folder / "relaygw.toml"
    config.write_text(config.read_text() + "[queue]\ntrash_age = 0\n")
    run("queue", "remove", "--all")
    assert run("queue", "undo", "--list")[1] == []


def test_purge_is_for_good(run: Run) -> None:
    run("queue", "remove", "0c")
    assert run("queue", "purge", "--sender", "partner.example")[1]["messages"][0]["message"] == "gone for good"
    assert run("queue", "undo", "0c")[0] == 1


def test_another_way_and_back(run: Run, text: Callable[..., str]) -> None:
    _, document, _ = run("queue", "reroute", "--sender", "example.com", "--to", "127.0.0.1:2525", "mx.example.net")
    assert document["messages"][0]["message"] == "rerouted to 127.0.0.1:2525, mx.example.net: 2 recipients"
    assert "rerouted to 127.0.0.1:2525" in text("queue", "show", "--sender", "example.com")
    assert "It is rerouted to 127.0.0.1:2525" in run("queue", "why", "--recipient", "partner.example")[1][0]["why"]
    assert run("queue", "reroute", "0a", "--back")[0] == 0
    assert run("queue", "reroute", "0a")[0] == 2
    assert "no route of the configuration" in run("queue", "reroute", "0a", "--to", "rst")[1]["error"]


def test_destinations_are_the_running_service_s(run: Run) -> None:
    status, document, _ = run("queue", "list", "--destination", "x")
    assert (status, "only while the service runs" in document["error"]) == (2, True)


def ask_on_a_terminal(folder: Path, answer: str, *arguments: str) -> tuple[int, str]:
    """Run the command in a child whose terminal we hold."""
    child, terminal = pty.fork()
    if not child:
        sys.stdin, sys.stdout, sys.stderr = map(os.fdopen, (0, 1, 2), ("r", "w", "w"))  # the test's are no terminal
        os._exit(main(["--config", str(folder / "relaygw.toml"), *arguments]))
    os.write(terminal, answer.encode())
    said = b""
    with contextlib.suppress(OSError):  # how the end of a terminal is told
        while piece := os.read(terminal, 1000):
            said += piece
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said.decode()


def test_who_sits_at_a_terminal_is_asked_before_a_mass_change(folder: Path, run: Run) -> None:
    status, said = ask_on_a_terminal(folder, "n\n", "queue", "remove", "--all")
    assert (status, "remove: 3 messages with 4 recipients that wait. Go on? [y/N]" in said) == (1, True)
    assert ids(run) == ["0a", "0b", "0c"]
    assert ask_on_a_terminal(folder, "y\n", "queue", "remove", "--sender", "partner.example")[0] == 0
    assert ids(run) == ["0a"]
    status, said = ask_on_a_terminal(folder, "", "queue", "undo", "--all", "--yes")
    assert (status, "Go on?" in said) == (0, False)
    assert ids(run) == ["0a", "0b", "0c"]


def test_rules_are_kept_for_the_next_start(run: Run, text: Callable[..., str]) -> None:
    assert run("hold", "list")[1] == {"rules": []}
    assert run("hold", "add", "mine")[0] == 2
    status, document, _ = run("hold", "add", "mine", "--sender", "list.example", "--larger-than", "1K", "--for", "2h")
    assert (status, document["rules"][0]["match"]) == (0, {"sender": ["list.example"], "larger_than": "1K"})
    assert [each["name"] for each in run("hold", "list")[1]["rules"]] == ["mine"]
    assert "sender=list.example" in text("hold", "list")
    assert run("hold", "remove", "mine")[0] == 0
    assert run("hold", "remove", "mine")[0] == 1


@pytest.mark.parametrize(
    "option", ["sender", "login", "destination", "reply", "message-id", "older-than", "header-from"]
)
@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_condition_is_refused_and_never_means_more(option: str, empty: str, run: Run) -> None:
    """A script whose variable is empty: without the condition, or with no login in its place, all mail was meant."""
    for command in (["queue", "remove", "--yes", "--sender", "a@example.com"], ["queue", "purge", "--yes", "--held"]):
        status, answer, told = run(*command, f"--{option}", empty)
        assert (status, "chooses nothing" in answer["error"]) == (2, True)
        assert f"--{option}" in told
    assert run("queue", "purge", "--all", "--yes", "--removed-within", empty)[0] == 2
    assert run("hold", "add", "mine", "--larger-than", "5K", "--for", empty)[0] == 2
    assert run("hold", "add", "mine", "--login", empty)[0] == 2
    assert ids(run) == ["0a", "0b", "0c"]


def test_rules_that_cannot_be_read_are_told_and_left_where_they_are(run: Run, folder: Path) -> None:
    file = folder / "state" / "holds.json"
    file.write_bytes(b"\xff")
    for verb in (("list",), ("add", "mine", "--login", "alice"), ("remove", "mine")):
        status, document, _ = run("hold", *verb)
        assert (status, f"{file} does not hold rules" in document["error"]) == (1, True), verb
    assert file.read_bytes() == b"\xff"


def test_the_spool_is_verified_exported_and_imported(run: Run, folder: Path, tmp_path: Path) -> None:
    status, found, _ = run("spool", "verify")
    assert (status, found["ok"], found["messages"]) == (0, True, 3)
    archive = tmp_path / "all.tar"
    status, document, _ = run("spool", "export", str(archive), "--sender", "partner.example")
    assert (status, document["messages"], archive.stat().st_mode & 0o777) == (0, 2, 0o600)
    assert run("spool", "export", str(archive))[0] == 2, "it overwrote an archive"
    assert run("spool", "import", str(archive))[1]["present"] == ["0b", "0c"]
    run("queue", "remove", "--all", "--forever")
    status, document, _ = run("spool", "import", str(archive))
    assert (status, document["imported"]) == (0, ["0b", "0c"])
    assert run("queue", "show", "0b")[1][0]["held"] == "rule lists"
    for wrong, words in (("none.tar", "no such file"), (".", "not a file"), ("d/relaygw.toml", "not a tar file")):
        status, document, _ = run("spool", "import", str(tmp_path / wrong))
        assert (status, document["error"].startswith(f"{tmp_path / wrong}: ")) == (2, True)
        assert words in document["error"]
    assert run("spool", "upgrade")[1] == {"format": 4}
    assert run("spool", "reindex")[1] == {"reindexing": True}


def test_an_export_writes_through_nobody_elses_file_and_leaves_nothing_behind_where_it_fails(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    victim, archive = tmp_path / "victim", tmp_path / "all.tar"
    victim.write_text("precious")
    (tmp_path / "all.tar.part").symlink_to(victim)
    assert run("spool", "export", str(archive))[0] == 0
    assert victim.read_text() == "precious"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["all.tar", "d", "victim"]
    nowhere = str(tmp_path / "none" / "all.tar")
    assert run("spool", "export", nowhere)[:2] == (
        2,
        {"error": f"{nowhere} cannot be written: No such file or directory"},
    )
    assert run("spool", "export", "")[0] == 2
    (folder / "state" / "spool" / "spool.sqlite").write_bytes(b"no database")
    assert run("spool", "export", str(tmp_path / "other.tar"))[0] == 1
    (folder / "state" / "spool").rename(folder / "state" / "elsewhere")
    assert "there is no spool in" in run("spool", "verify")[1]["error"]
    (folder / "state" / "spool").symlink_to(folder / "state" / "spool")
    assert "Too many levels of symbolic links" in run("spool", "verify")[1]["error"], "it is there, and not to be read"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["all.tar", "d", "victim"]


def test_damage_is_found_shown_saved_and_put_right(run: Run, folder: Path, tmp_path: Path) -> None:
    database = folder / "state" / "spool" / "spool.sqlite"

    def execute(query: str) -> Any:
        with sqlite3.connect(database) as connection:
            found = connection.execute(query).fetchone()
        connection.close()
        return found

    (good,) = execute("SELECT record FROM message WHERE queue_id = '0c'")
    execute("UPDATE message SET record = substr(record, 1, 50) WHERE queue_id = '0c'")
    status, found, _ = run("spool", "verify")
    assert (status, [each["id"] for each in found["problems"]]) == (1, ["0c"])
    assert ids(run) == ["0a", "0b"]
    (listed,) = run("spool", "damaged")[1]
    assert (listed["id"], "not readable" in listed["error"]) == ("0c", True)
    nowhere = run("spool", "damaged", "export", "0c", "--to", str(tmp_path / "none"))
    assert nowhere[:2] == (2, {"error": f"{tmp_path}/none/0c.record cannot be written: No such file or directory"})
    (shown,) = run("spool", "damaged", "export", "0c", "--to", str(tmp_path))[1]
    assert shown["head"].startswith("From: a@example.com")
    assert [Path(path).read_bytes() for path in shown["files"]] == [good[:50].encode(), DATA]
    status, document, _ = run("spool", "damaged", "retry", "0c")
    assert (status, "still cannot be read" in document["messages"][0]["message"]) == (1, True)
    execute(f"UPDATE message SET record = '{good}' WHERE queue_id = '0c'")
    assert run("spool", "damaged", "retry", "0c")[1]["messages"][0]["message"] == "in the queue again"
    assert ids(run) == ["0a", "0b", "0c"]
    execute("UPDATE message SET record = '{' WHERE queue_id = '0b'")
    ids(run)
    assert run("spool", "damaged", "remove", "0b")[0] == 0
    assert run("spool", "damaged")[1] == []
    assert run("spool", "verify")[0] == 0


def test_what_would_become_of_a_message_is_asked_with_an_envelope(run: Run, folder: Path) -> None:
    (folder / "mail.eml").write_bytes(DATA)
    assert run("explain", str(folder / "mail.eml"))[0] == 2
    assert run("explain", "nothing")[0] == 1
    assert run("explain", "nothing.eml")[0] == 2
    status, document, _ = run("explain", "nothing.eml", "--to", "a@example.com")
    assert (status, document["error"]) == (2, "nothing.eml: No such file or directory")


@pytest.mark.parametrize(("recipients", "action"), [(["alice"], "deliver"), (["alice", "b"], "hold")])
def test_what_is_in_quarantine_waits_where_no_route_asks_for_it(
    folder: Path, recipients: list[str], action: str
) -> None:
    config = folder / "relaygw.toml"
    odd = '[[filter]]\nuse = "dkim"\nname = "odd"\noptions = { actions = { none = "quarantine" } }\n'
    junk = '[[route]]\nname = "junk"\nmatch = { quarantined = "yes", recipient = ["alice@example.com"] }\n'
    routes = junk + 'transport = "maildir"\nfolder = "Junk"\n\n[[route]]'
    (folder / "nothing.zone").write_text("")
    text = config.read_text().replace("[[route]]", routes, 1)
    config.write_text(f'{text}\n{odd}\n[dns]\nzone = "nothing.zone"\n')
    (folder / "mail.eml").write_bytes(b"From: a@world.example\r\nTo: alice@example.com\r\n\r\nHi\r\n")
    to = [part for each in recipients for part in ("--to", f"{each}@example.com")]
    arguments = ["--config", str(config), "explain", str(folder / "mail.eml"), "--ip", "192.0.2.9", *to, "--json"]
    # It runs a reactor, of which there is one in a process.
    command = [sys.executable, "-m", "relaygw.cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    found = json.loads(done.stdout)
    assert (found["action"], "quarantine: dkim no signature" in found["reason"]) == (action, action == "hold")
    assert found["recipients"][0]["route"] == ("local" if action == "hold" else "junk")


def test_standard_output_takes_an_archive(folder: Path, capfdbinary: Any) -> None:
    assert main(["--config", str(folder / "relaygw.toml"), "spool", "export", "-"]) == 0
    assert b"relaygw-archive-end.json" in io.BytesIO(capfdbinary.readouterr().out).getvalue()
