"""Aliases where nobody can wait: tables in memory are asked, the others and their faults are passed over."""

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from zope.interface import implementer

from relaygw.aliases import Aliases, NamedTable
from relaygw.core.address import Address, parse_address
from relaygw.core.aliasing import Rules
from relaygw.core.srs import Srs
from relaygw.interfaces import IEntries, ITable

SRS = Srs(domain="here.test", secrets=(b"secret",))


@implementer(ITable, IEntries)
class InMemory:
    def __init__(self, **entries: tuple[str, ...]) -> None:
        self.held = {key.replace("_AT_", "@"): value for key, value in entries.items()}

    def lookup(self, key: str) -> tuple[str, ...]:
        if key.startswith("broken"):
            raise OSError("broken")
        return self.held.get(key, ())

    def entries(self) -> Any:
        return self.held.items()


@implementer(ITable)
class Slow:
    asked = 0

    def lookup(self, key: str) -> Any:
        self.asked += 1
        return Deferred()


class Directory:
    """Answers at once, or never; remembers what was cancelled."""

    checkers = ()

    def __init__(self, slow: bool = False) -> None:
        self.slow = slow
        self.cancelled: list[Any] = []

    def account(self, address: Address) -> Any:
        return Deferred(self.cancelled.append) if self.slow else None

    def named(self, login: str) -> Any:
        return None


def make(table: Any, *more: Any, directory: Any = None) -> Aliases:
    return Aliases(
        tables=tuple(NamedTable(f"t{number}", each) for number, each in enumerate((table, *more))),
        directory=directory or Directory(),
        rules=Rules(local=("here.test",), relay=("relayed.test",)),
        srs=SRS,
        now=lambda: 0.0,
    )


TABLE = InMemory(info=("a@far.test", "b@far.test"), ring=("ring2",), ring2=("ring",), _AT_here_test=("x",))


@pytest.mark.parametrize(
    ("address", "ends"),
    [
        ("info@here.test", ["a@far.test", "b@far.test"]),
        ("ring@here.test", ["ring@here.test"]),
        ("broken@here.test", ["broken@here.test"]),
        ("info@far.test", ["info@far.test"]),
        (str(SRS.forward(parse_address("u@far.test"), 0.0)), ["u@far.test"]),
        ("SRS0=AAAA=AA=x.test=u@here.test", ["SRS0=AAAA=AA=x.test=u@here.test"]),
    ],
)
def test_where_an_address_leads_at_once(address: str, ends: list[str]) -> None:
    assert [str(each) for each in make(TABLE).leads_to(parse_address(address))] == ends


def test_what_answers_later_is_not_asked() -> None:
    slow = Slow()
    aliases = make(slow, TABLE)
    assert [str(each) for each in aliases.leads_to(parse_address("info@here.test"))] == ["a@far.test", "b@far.test"]
    assert slow.asked == 0


def test_a_directory_that_answers_later_counts_as_yes_and_is_not_left_waiting() -> None:
    directory = Directory(slow=True)
    catching = InMemory(**{"_AT_here.test": ("a@far.test",)})
    aliases = make(catching, directory=directory)
    assert [str(each) for each in aliases.leads_to(parse_address("who@here.test"))] == ["who@here.test"]
    assert len(directory.cancelled) == 1
