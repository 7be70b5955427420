"""`relaygw ban` while the service is down: the same answers, kept in the file; and the control socket's requests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from operators import Office
from verbs import Run, init

from relaygw.control import bans
from relaygw.control.asked import BadRequest

Ban = Callable[..., tuple[int, Any]]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return init(tmp_path_factory.mktemp("ban") / "d", "--user", "alice:x", "--trust", "203.0.113.0/24")


@pytest.fixture
def ban(run: Run) -> Ban:
    return lambda *arguments: run("ban", *arguments)[:2]


def test_add_list_and_lift(ban: Ban, folder: Path) -> None:
    assert ban("list") == (0, {"bans": []})
    status, added = ban("add", "2001:db8::7", "--for", "2h", "--reason", "spam")
    assert (status, added["bans"][0]["subject"], added["bans"][0]["reason"]) == (0, "2001:db8::/64", "spam")
    assert ban("add", "Mallory")[1]["bans"][0]["kind"] == "login"
    assert [each["subject"] for each in ban("list")[1]["bans"]] == ["2001:db8::/64", "mallory"]
    assert (folder / "state" / "bans.json").stat().st_mode & 0o777 == 0o600
    assert ban("lift", "2001:db8::ffff")[0] == 0
    assert ban("lift", "MALLORY")[0] == 0
    assert ban("lift", "mallory")[0] == 1
    assert ban("list") == (0, {"bans": []})


@pytest.mark.parametrize(
    "arguments",
    [("add", "203.0.113.9"), ("add", "a b"), ("add", ""), ("add", "x", "--for", "0s"), ("add", "x", "--for", "y")],
)
def test_what_cannot_be_banned(ban: Ban, arguments: tuple[str, ...]) -> None:
    status, answer = ban(*arguments)
    assert status == 2
    assert answer["error"]


def test_a_file_that_holds_no_bans_is_told(ban: Ban, folder: Path) -> None:
    (folder / "state" / "bans.json").write_text("nothing")
    status, answer = ban("list")
    assert status == 1
    assert "does not hold bans" in answer["error"]


def test_the_socket_takes_the_same_requests() -> None:
    book = Office().parts.bans
    assert bans.change(book, "add", {"subject": "192.0.2.7", "for": "60"})["bans"][0]["kind"] == "address"
    assert [each["subject"] for each in bans.list_(book)["bans"]] == ["192.0.2.7/32"]
    assert len(bans.change(book, "lift", {"subject": "192.0.2.7"})["bans"]) == 1
    for verb, given in (("ad", {}), ("add", {}), ("add", {"subject": "x", "until": 1}), ("lift", {"subject": ""})):
        with pytest.raises(BadRequest):
            bans.change(book, verb, given)
