"""A file is replaced as a whole or not at all, and nothing else is left in its folder."""

import os
import stat
from pathlib import Path

import pytest

from relaygw import durable


def test_what_was_there_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    for text in ("before\n", "now, and in ümlauts\n"):
        durable.replace(str(path), text)
        assert path.read_bytes() == text.encode("utf-8")
    assert [each.name for each in tmp_path.iterdir()] == ["kept.json"]


def test_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    path.touch(mode=0o644)
    durable.replace(str(path), "secret")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_cannot_be_written_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    durable.replace(str(path), "before")
    with pytest.raises(UnicodeEncodeError):
        durable.replace(str(path), "a lone surrogate: \ud800")
    assert path.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == ["kept.json"]


def test_a_place_that_cannot_be_taken_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        durable.replace(str(path), "now")
    assert [each.name for each in tmp_path.iterdir()] == ["kept.json"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("there", [True, False], ids=["the file's owner", "the folder's owner"])
def test_what_root_writes_is_the_services(tmp_path: Path, there: bool) -> None:
    path = tmp_path / "kept.json"
    if there:
        path.touch()
    os.chown(path if there else tmp_path, 4321, 4321)
    durable.replace(str(path), "now")
    assert (path.stat().st_uid, path.stat().st_gid) == (4321, 4321)


def test_what_a_killed_writer_left_is_forgotten_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    durable.replace(str(path), "before")
    for name in (".kept.json-a1b2", ".other.json-a1b2", "kept.json.lock"):
        (tmp_path / name).touch()
    durable.forget_unfinished(str(path))
    assert sorted(each.name for each in tmp_path.iterdir()) == [".other.json-a1b2", "kept.json", "kept.json.lock"]
