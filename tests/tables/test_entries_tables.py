"""Tables kept in memory: what they hold, that a changed file counts and a broken one does not, and what is refused."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from relaygw.interfaces import IEntries, ITable
from relaygw.plugins import OptionsError
from relaygw.tables.entries import AliasTable, FileTable, InlineTable
from relaygw.tables.watched import Watched
from relaygw.testing.threads import InlinePool, InlineReactor


class Made:
    """A folder with a configuration, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = Clock()
        self.services: Any = SimpleNamespace(
            settings=SimpleNamespace(path=str(folder / "relaygw.toml")), reactor=self.clock
        )
        self._times = 1_000_000_000

    def write(self, name: str, text: str, mode: int = 0o644) -> str:
        path = self.folder / name
        path.write_text(text)
        path.chmod(mode)
        self._times += 10
        os.utime(path, (self._times, self._times))
        return str(path)

    def make(self, kind: Any, **options: Any) -> Any:
        table = kind(options, self.services)
        assert verifyObject(ITable, table)
        assert verifyObject(IEntries, table)
        return table


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)


def test_entries_of_the_configuration(made: Made) -> None:
    table = made.make(InlineTable, entries={"Info@Bücher.test": ["alice", "bob@far.test"], "all": "x"})
    assert table.lookup("info@xn--bcher-kva.test") == ("alice", "bob@far.test")
    assert table.lookup("all") == ("x",)
    assert table.lookup("ALL") == ()
    assert dict(table.entries()).keys() == {"info@xn--bcher-kva.test", "all"}


def test_what_is_wrong_with_entries_is_told_at_once(made: Made) -> None:
    with pytest.raises(OptionsError) as caught:
        made.make(InlineTable, entries={"a": [], "b": 7, "c": "|x", "d@not a domain": "x", "e": "x", "E": "x"})
    told = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 5
    for word in ("'a' wants", "'b' wants", "no commands", "not a domain", "'E' stands there twice"):
        assert word in told


def test_a_changed_file_counts_within_a_second_and_a_broken_one_changes_nothing(made: Made) -> None:
    made.write("map", "a@b.test c@d.test\n")
    table = made.make(FileTable, file="map")
    assert table.lookup("a@b.test") == ("c@d.test",)
    made.write("map", "a@b.test e@f.test\n")
    assert table.lookup("a@b.test") == ("c@d.test",)
    made.clock.advance(1)
    assert table.lookup("a@b.test") == ("e@f.test",)
    made.write("map", "broken\n")
    made.clock.advance(1)
    assert table.lookup("a@b.test") == ("e@f.test",)
    assert "line 1" in table.trouble
    os.remove(made.folder / "map")
    made.clock.advance(1)
    assert table.lookup("a@b.test") == ("e@f.test",)
    made.write("map", "a@b.test g@h.test\n")
    made.clock.advance(1)
    assert table.lookup("a@b.test") == ("g@h.test",)
    assert table.trouble == ""


def test_a_file_that_is_being_written_is_left_until_it_rests(made: Made) -> None:
    """A script that writes it in place empties it first: mail must not be refused for good in that moment."""
    path, second = Path(made.write("map", "old")), 1_000_000_000
    now = [10 * second]
    watched = Watched(lambda: (path.read_text(), [str(path)]), made.clock, lambda: now[0])

    def found(text: str, written: int) -> str:
        """What holds a second after the last look, where this was written then."""
        path.write_text(text)
        os.utime(path, ns=(written, written))
        made.clock.advance(1)
        now[0] += second
        return watched.current()

    for _ in range(3):
        assert found("", now[0] + 1) == "old"
    assert found("new", now[0]) == "new"
    assert found("newer", now[0] + second) == "new"
    assert found("newest", now[0] + 3600 * second) == "newest", "a clock that is ahead holds nothing up"
    assert watched.trouble == ""


def test_a_large_file_is_read_again_beside_and_holds_until_then(made: Made) -> None:
    waiting: list[Any] = []

    class Later(InlineReactor):
        def getThreadPool(self) -> Any:
            pool = InlinePool()
            return SimpleNamespace(
                callInThreadWithCallback=lambda *given: waiting.append(lambda: pool.callInThreadWithCallback(*given))
            )

    clock = made.services.reactor = Later()
    filler = "".join(f"user{number}@b.test x{number}@d.test\n" for number in range(6000))
    made.write("map", f"{filler}a@b.test c@d.test\n")
    table = made.make(FileTable, file="map")
    made.write("map", f"{filler}a@b.test e@f.test\n")
    clock.advance(1)
    assert table.lookup("a@b.test") == ("c@d.test",)
    clock.advance(1)
    assert table.lookup("a@b.test") == ("c@d.test",)
    (read,) = waiting
    read()
    assert table.lookup("a@b.test") == ("e@f.test",)
    made.write("map", f"{filler}broken\n")
    clock.advance(1)
    table.lookup("a@b.test")
    waiting[1]()
    assert table.lookup("a@b.test") == ("e@f.test",)
    assert "line 6001" in table.trouble


def test_lists_in_files_are_read_where_that_is_allowed_and_watched_too(made: Made) -> None:
    members = made.write("members", "alice\nbob@far.test, carol\n# nobody\n")
    made.write("aliases", f"news: :include:{members}, alice\n")
    with pytest.raises(OptionsError, match="include = true"):
        made.make(AliasTable, file="aliases")
    table = made.make(AliasTable, file="aliases", include=True)
    assert table.lookup("news") == ("alice", "bob@far.test", "carol")
    made.write("members", "dora\n")
    made.clock.advance(1)
    assert table.lookup("news") == ("dora", "alice")


@pytest.mark.parametrize(
    ("text", "mode", "wrong"),
    [
        ("alice\n", 0o664, "others than its owner can write it"),
        ("alice\n", 0o646, "others than its owner can write it"),
        ("|cmd\n", 0o644, "no commands"),
        (":include:/etc/passwd\n", 0o644, "include = true"),
    ],
)
def test_a_list_that_is_not_safe_is_refused(made: Made, text: str, mode: int, wrong: str) -> None:
    members = made.write("members", text, mode)
    made.write("aliases", f"news: :include:{members}\n")
    with pytest.raises(OptionsError, match=wrong):
        made.make(AliasTable, file="aliases", include=True)


def test_what_is_no_file_is_refused(made: Made) -> None:
    os.mkfifo(made.folder / "pipe")
    for name, wrong in (("gone", "No such file"), ("pipe", "not a regular file"), (".", "directory")):
        with pytest.raises(OptionsError, match=wrong):
            made.make(FileTable, file=name)
    (made.folder / "latin").write_bytes(b"a@b.test \xe4@b.test\n")
    with pytest.raises(OptionsError, match="not UTF-8"):
        made.make(FileTable, file="latin")


def test_ten_faults_are_told_and_the_rest_is_counted(made: Made) -> None:
    made.write("map", "broken\n" * 13)
    with pytest.raises(OptionsError) as caught:
        made.make(FileTable, file="map")
    assert len(caught.value.problems) == 11
    assert caught.value.problems[-1].endswith("and 3 more")
