"""Verbs on a working directory while no service runs: keys, users, queue, trace, routes; and what they refuse."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from operators import message
from verbs import Run, fill, init

from relaygw import keys
from relaygw.cli.direct import as_owner, run_now, write_event
from relaygw.config.load import load
from relaygw.core.events import Accepted
from relaygw.spool.sqlite import SqliteSpool
from relaygw.tables.passwords import verify_password
from relaygw.tables.userfile import read_users


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return init(tmp_path_factory.mktemp("work") / "d", "--user", "alice:secret", "--smarthost", "127.0.0.1:25")


def test_dkim_records_have_the_contracts_shape(run: Run) -> None:
    status, records, _ = run("dkim", "record")
    assert status == 0
    assert [{**record, "value": record["value"][:14]} for record in records] == [
        {"name": "s1._domainkey.example.com", "type": "TXT", "value": "v=DKIM1; k=rsa"}
    ]
    assert run("dkim", "record", "Example.COM")[1] == records
    assert run("dkim", "record", "other.example")[0] == 1
    assert run("dkim", "record", "a..b")[0] == 2


@pytest.mark.parametrize("algorithm", ["rsa", "ed25519"])
def test_a_generated_key_is_used_once_its_table_is_added(run: Run, folder: Path, algorithm: str) -> None:
    status, made, _ = run("dkim", "generate", "example.com", "--selector", "s2", "--algorithm", algorithm)
    assert status == 0
    path = folder / "dkim" / "example.com.s2.pem"
    assert made["private_key"] == str(path)
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    assert made["record"]["value"] == keys.record(path.read_bytes())
    with (folder / "relaygw.toml").open("a") as file:
        file.write(f"\n{made['toml']}\n")
    status, listed, _ = run("dkim", "list")
    assert (status, [(key["selector"], key["algorithm"]) for key in listed]) == (0, [("s1", "rsa"), ("s2", algorithm)])
    status, _, told = run("dkim", "generate", "example.com", "--selector", "s2")
    assert (status, "a key is never overwritten" in told) == (2, True)


def test_a_key_that_cannot_be_used_is_listed_with_its_fault(run: Run, folder: Path) -> None:
    (folder / "dkim" / "example.com.s1.pem").write_text("no key")
    status, (key,), _ = run("dkim", "list")
    assert (status, key["error"]) == (1, "not a private key in PEM form without a passphrase")
    assert run("dkim", "record")[0] == 1
    (folder / "dkim" / "example.com.s1.pem").unlink()
    assert run("dkim", "record")[0] == 1
    assert run("dkim", "list")[1][0]["error"] == "No such file or directory"
    told = subprocess.run(
        [sys.executable, "-m", "relaygw.cli", "--config", str(folder / "relaygw.toml"), "dkim", "list"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    assert told.count("example.com.s1.pem") == 1


def test_users_come_and_go_with_passwords_from_a_pipe(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("first\nsecond\n"))
    status, document, _ = run("user", "add", "Bob")
    assert (status, document) == (0, {"user": "bob", "done": "added", "addresses": ["bob@example.com"]})
    assert run("user", "passwd", "bob")[0] == 0
    assert verify_password(read_users(str(folder / "users"))[1].password, b"second")
    assert run("user", "list")[1] == [
        {"name": "alice", "addresses": ["alice@example.com"]},
        {"name": "bob", "addresses": ["bob@example.com"]},
    ]
    assert run("user", "add", "bob")[:1] == (1,)
    assert run("user", "remove", "bob")[0] == 0
    assert run("user", "remove", "bob")[0] == 1
    assert run("user", "passwd", "bob")[0] == 1
    assert run("user", "add", "b b")[0] == 2
    assert run("user", "add", "carol")[0] == 2  # the pipe is at its end


def test_the_queue_is_worked_on_while_nobody_serves_it(run: Run, folder: Path) -> None:
    assert run("queue", "list")[:2] == (0, [])
    fill(folder, message("0a", reply="try later"), message("0b", "", "c@partner.example", held="suspicious"))
    status, listed, _ = run("queue", "list")
    assert (status, [(each["id"], each["state"]) for each in listed]) == (0, [("0a", "waiting"), ("0b", "held")])
    assert [each["id"] for each in run("queue", "list", "--no-held", "--older-than", "1m")[1]] == ["0a"]
    assert [each["id"] for each in run("queue", "list", "--limit", "1")[1]] == ["0a"]
    status, (shown,), told = run("queue", "show", "0a", "zz")
    assert (status, shown["recipients"][0]["last"]["reply"]) == (1, "451 4.3.0 try later")
    assert told == "there is no message 'zz' in the queue\n"
    assert "try later" in run("queue", "why", "0a")[1][0]["why"]
    status, document, _ = run("queue", "hold", "--reply", "later", "--reason", "a look")
    assert (status, document["messages"]) == (0, [{"id": "0a", "done": True, "message": "held: a look"}])
    assert run("queue", "release", "0a", "0b")[0] == 0
    assert run("queue", "retry", "--all")[0] == 0
    status, document, _ = run("queue", "remove", "0b", "zz")
    assert status == 1
    assert [(each["id"], each["done"]) for each in document["messages"]] == [("0b", True), ("zz", False)]
    assert [each["id"] for each in run("queue", "list")[1]] == ["0a"]
    events = [(event["event"], event.get("verb")) for event in run("trace", "0b")[1]]
    assert events == [("operated", "release"), ("operated", "retry"), ("operated", "remove"), ("completed", None)]


@pytest.mark.parametrize(
    "arguments", [(), ("--all", "0a"), ("--all", "--held"), ("--sender", "@"), ("--older-than", "soon")]
)
def test_an_order_for_nothing_in_particular_is_refused(run: Run, arguments: tuple[str, ...]) -> None:
    status, document, told = run("queue", "remove", *arguments)
    assert status == 2
    assert document["error"] in told


def test_a_spool_that_another_process_has_is_left_alone(run: Run, folder: Path) -> None:
    fill(folder, message("0a"))
    spool = SqliteSpool(str(folder / "state" / "spool"), None)
    spool.open()
    try:
        status, _, told = run("queue", "list")
    finally:
        run_now(spool.close())
    assert status == 1
    assert "is in use by another process" in told


def test_tables_for_people(text: Callable[..., str], folder: Path) -> None:
    fill(folder, message("0a", reply="try\nlater"), message("0b", held="susp\x1b[2Jicious"))
    listed = text("queue", "list").splitlines()
    assert listed[0].split() == ["ID", "STATE", "AGE", "SIZE", "SENDER", "WAITING", "FOR", "LAST", "REPLY"]
    assert listed[1].startswith("0a  waiting  1m")
    assert listed[2].endswith("susp\\x1b[2Jicious")
    assert listed[-1] == "2 messages"
    assert "to <b@world.example>: waiting, 1 attempt," in text("queue", "show", "0a")
    assert text("user", "list").splitlines()[1] == "alice  alice@example.com"
    assert text("filters").splitlines()[0].split()[:2] == ["NAME", "USE"]


def test_what_needs_the_service_is_3_without_it(run: Run) -> None:
    for verb in ("status", "reload"):
        status, document, told = run(verb)
        assert status == 3
        assert "the service is not running" in document["error"]
        assert document["error"] in told


def test_a_trace_comes_from_the_history(run: Run, text: Callable[..., str], folder: Path) -> None:
    event = Accepted(
        queue_id="0a",
        origin="received",
        sender="<a@example.com>",
        recipients=("b@world.example", "c@d.example"),
        size=7,
    )
    write_event(load(folder / "relaygw.toml"), event)
    status, events, _ = run("trace", "B@world.example")
    assert (status, events[0]["event"], events[0]["queue_id"]) == (0, "accepted", "0a")
    assert "from <a@example.com> to <b@world.example>, <c@d.example>" in text("trace", "0a")
    assert run("trace", "nobody@example.com")[:2] == (1, [])
    assert run("trace", "B@world.example", "--limit", "1000")[0] == 0
    for wrong in ("0", "-1", "1001", "9" * 30, "x", ""):
        assert run("trace", "B@world.example", "--limit", wrong)[0] == 2, wrong
    assert (folder / "state" / "journal.jsonl").read_text().count("\n") == 1


@pytest.mark.parametrize(
    ("recipient", "status", "action"),
    [("alice@example.com", 0, "deliver"), ("bob@example.com", 1, "fail"), ("x@y.example", 0, "deliver")],
)
def test_routes_are_explained_without_the_service(folder: Path, recipient: str, status: int, action: str) -> None:
    """As a process, because the question needs a reactor of its own."""
    verb = ["--config", str(folder / "relaygw.toml"), "--json", "route", "<>", recipient]
    done = subprocess.run(
        [sys.executable, "-m", "relaygw.cli", *verb], capture_output=True, text=True, check=False, timeout=300
    )
    assert (done.returncode, done.stderr) == (status, "the service is not running: this is what the file says\n")
    document = json.loads(done.stdout)
    assert document["action"] == action
    assert {"transport", "hosts", "tls", "signing", "steps"} <= document.keys()


def test_a_route_for_no_address_is_wrong_usage(run: Run) -> None:
    assert run("route", "a@b.example", "nobody")[0] == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_root_works_as_the_owner_of_the_spool(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    os.chown(tmp_path / "spool", 12345, 12346)
    with as_owner(str(tmp_path / "spool")):
        assert (os.geteuid(), os.getegid()) == (12345, 12346)
    assert (os.geteuid(), os.getegid()) == (0, os.getgid())
    with as_owner(str(tmp_path)):
        assert os.geteuid() == 0


def test_destinations_are_asked_of_the_service_and_none_is_known_without_it(run: Run, folder: Path) -> None:
    fill(folder, message("0a", reply="try later"))
    assert run("queue", "destinations")[:2] == (0, [])
    status, documents, told = run("queue", "why", "0a", "mx.example")
    assert (status, [each["id"] for each in documents]) == (1, ["0a"])
    assert told == "there is no message and no destination 'mx.example' in the queue\n"
