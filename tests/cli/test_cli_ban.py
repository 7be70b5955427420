"""`relaygw ban` while the service is down: the same answers, kept in the file; and the control socket's requests."""

import json
from pathlib import Path
from typing import Any

import pytest
from operators import Office

from relaygw.cli.main import main
from relaygw.control import bans
from relaygw.control.asked import BadRequest
from relaygw.testing.gateway import free_offset


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ban") / "d"
    options = ["--domain", "example.com", "--user", "alice:x", "--trust", "203.0.113.0/24"]
    assert main(["init", str(folder), *options, "--port-offset", str(free_offset())]) == 0
    return folder


def run(folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    status = main(["--config", str(folder / "relaygw.toml"), "--json", "ban", *arguments])
    return status, json.loads(capsys.readouterr().out)


def test_add_list_and_lift(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run(folder, capsys, "list") == (0, {"bans": []})
    status, added = run(folder, capsys, "add", "2001:db8::7", "--for", "2h", "--reason", "spam")
    assert (status, added["bans"][0]["subject"], added["bans"][0]["reason"]) == (0, "2001:db8::/64", "spam")
    assert run(folder, capsys, "add", "Mallory")[1]["bans"][0]["kind"] == "login"
    assert [ban["subject"] for ban in run(folder, capsys, "list")[1]["bans"]] == ["2001:db8::/64", "mallory"]
    assert (folder / "state" / "bans.json").stat().st_mode & 0o777 == 0o600
    assert run(folder, capsys, "lift", "2001:db8::ffff")[0] == 0
    assert run(folder, capsys, "lift", "MALLORY")[0] == 0
    assert run(folder, capsys, "lift", "mallory")[0] == 1
    assert run(folder, capsys, "list") == (0, {"bans": []})


@pytest.mark.parametrize(
    "arguments",
    [("add", "203.0.113.9"), ("add", "a b"), ("add", ""), ("add", "x", "--for", "0s"), ("add", "x", "--for", "y")],
)
def test_what_cannot_be_banned(folder: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    capsys.readouterr()
    status, answer = run(folder, capsys, *arguments)
    assert status == 2
    assert answer["error"]


def test_a_file_that_holds_no_bans_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    (folder / "state" / "bans.json").write_text("nothing")
    status, answer = run(folder, capsys, "list")
    assert status == 1
    assert "does not hold bans" in answer["error"]
    (folder / "state" / "bans.json").unlink()


def test_the_socket_takes_the_same_requests() -> None:
    book = Office().parts.bans
    assert bans.change(book, "add", {"subject": "192.0.2.7", "for": "60"})["bans"][0]["kind"] == "address"
    assert [ban["subject"] for ban in bans.list_(book)["bans"]] == ["192.0.2.7/32"]
    assert len(bans.change(book, "lift", {"subject": "192.0.2.7"})["bans"]) == 1
    for verb, given in (("ad", {}), ("add", {}), ("add", {"subject": "x", "until": 1}), ("lift", {"subject": ""})):
        with pytest.raises(BadRequest):
            bans.change(book, verb, given)
