"""A sink keeps small contents in memory, spills larger ones to a private file, and says when the disk fails."""

import os
import stat
from pathlib import Path

import pytest

from relaygw.interfaces import SpoolError
from relaygw.spool.files import ContentFiles, FileContent, write_again
from relaygw.spool.sink import Sink


@pytest.fixture
def files(tmp_path: Path) -> ContentFiles:
    return ContentFiles(str(tmp_path))


def names(files: ContentFiles) -> list[str]:
    return os.listdir(files.directory)


def test_a_content_of_the_limit_stays_in_memory_one_octet_more_spills(files: ContentFiles) -> None:
    sink = Sink(files, 1000)
    sink.write(b"x" * 999)
    sink.write(b"x")
    assert names(files) == []
    sink.write(b"y")
    assert len(names(files)) == 1
    assert b"".join(sink.content().chunks()) == b"x" * 1000 + b"y"


def test_the_file_is_private_and_goes_with_an_abort(files: ContentFiles) -> None:
    sink = Sink(files, 0)
    sink.write(b"secret")
    [name] = names(files)
    assert stat.S_IMODE(os.stat(files.path(name)).st_mode) == 0o600
    sink.abort()
    assert names(files) == []


def test_single_octets_cost_no_more_memory_than_the_limit(files: ContentFiles) -> None:
    sink = Sink(files, 10_000)
    for _ in range(10_000):
        sink.write(b"x")
    assert sink._buffer.__sizeof__() < 15_000


def test_what_was_read_before_the_commit_equals_what_is_taken(files: ContentFiles) -> None:
    for limit in (0, 1000):
        sink = Sink(files, limit)
        sink.write(b"A: b\r\n\r\nbody")
        body = sink.take(b"P: q\r\n")
        assert b"".join(body.content(files).chunks()) == b"P: q\r\nA: b\r\n\r\nbody"
        assert body.content(files).head == b"P: q\r\nA: b\r\n"


def test_a_header_section_longer_than_the_limit_is_read_from_the_file(files: ContentFiles) -> None:
    sink = Sink(files, 10)
    head = b"A: " + b"x" * 200_000 + b"\r\n"
    sink.write(b"A: ")
    sink.write(head[3:] + b"\r\nbody")
    assert sink.content().head == head


class FullDisk(ContentFiles):
    """A disk without room: every write fails with ENOSPC."""

    def create(self) -> tuple[str, int]:
        name, descriptor = super().create()
        os.close(descriptor)
        return name, os.open("/dev/full", os.O_WRONLY)


def test_a_full_disk_is_a_spool_error_now_and_at_every_later_step(tmp_path: Path) -> None:
    files = FullDisk(str(tmp_path))
    sink = Sink(files, 10)
    sink.write(b"x" * 10)
    with pytest.raises(SpoolError, match="No space left"):
        sink.write(b"y")
    assert names(files) == [], "the failed file was left behind"
    with pytest.raises(SpoolError, match="No space left"):
        sink.write(b"z")
    with pytest.raises(SpoolError, match="No space left"):
        sink.take(b"")
    sink.abort()


def test_a_missing_directory_is_a_spool_error(tmp_path: Path) -> None:
    sink = Sink(ContentFiles(str(tmp_path / "none")), 0)
    with pytest.raises(SpoolError):
        sink.write(b"x")


def test_a_file_that_became_shorter_is_an_error_not_a_shorter_message(tmp_path: Path) -> None:
    path = tmp_path / "short"
    path.write_bytes(b"A: b\r\n\r\nbod")
    content = FileContent(b"", str(path), 12)
    with pytest.raises(SpoolError, match="has 11 of 12 octets"):
        list(content.chunks())
    with pytest.raises(SpoolError, match="cannot read"):
        list(FileContent(b"", str(tmp_path / "gone"), 12).chunks())


def test_a_file_that_became_longer_gives_what_was_committed(tmp_path: Path) -> None:
    path = tmp_path / "long"
    path.write_bytes(b"A: b\r\n\r\nbody and more")
    assert b"".join(FileContent(b"", str(path), 12).chunks()) == b"A: b\r\n\r\nbody"


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
def test_a_file_that_is_written_again_keeps_its_octets_and_none_is_made(tmp_path: Path, size: int) -> None:
    path, missing = tmp_path / "file", tmp_path / "missing"
    path.write_bytes(os.urandom(size))
    before, inode = path.read_bytes(), path.stat().st_ino
    write_again(str(path))
    assert (path.read_bytes(), path.stat().st_ino) == (before, inode)
    write_again(str(missing))
    assert not missing.exists()
