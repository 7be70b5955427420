"""Every way a plugin can be wrong is one named error that says what, where and what to do."""

import enum
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaygw.config.kinds import Duration, Size
from relaygw.config.schema import FilterConfig
from relaygw.filters.loop import LoopFilter
from relaygw.filters.uses import Mode, OnError, build_uses
from relaygw.plugins import OptionsError, PluginError, find_factory, load_plugin, structure_options
from relaygw.testing.filters import make_services

MODULE = """
from zope.interface import implementer
from relaygw.interfaces import IFilter

number = 7

def raising(options, services):
    raise RuntimeError("no licence")

def unreadable(options, services):
    open("/nonexistent/secret")

def refusing(options, services):
    raise ValueError("option 'x' makes no sense")

class Bare:
    def __init__(self, options, services): pass

@implementer(IFilter)
class NoPhases(Bare):
    def check(self, phase, transaction): pass

@implementer(IFilter)
class WrongArguments(Bare):
    phases = frozenset()
    def check(self, phase): pass

@implementer(IFilter)
class WrongPhases(Bare):
    phases = {"mail"}
    def check(self, phase, transaction): pass

class Outer:
    @implementer(IFilter)
    class Inner(Bare):
        phases = frozenset()
        def check(self, phase, transaction): pass
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "plugin_under_test.py").write_text(MODULE, encoding="utf-8")
    (tmp_path / "plugin_that_breaks.py").write_text("1 / 0", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("plugin_under_test", None)


def load(use: str, options: Mapping[str, Any] | None = None) -> Any:
    return load_plugin("relaygw.filters", use, options or {}, make_services(), where="filter 'mine'")


def test_the_shipped_ones_come_in_by_name_and_by_module() -> None:
    assert isinstance(load("loop"), LoopFilter)
    assert isinstance(load("relaygw.filters.loop:LoopFilter"), LoopFilter)


def test_an_object_within_an_object_can_be_named() -> None:
    assert type(load("plugin_under_test:Outer.Inner")).__name__ == "Inner"


@pytest.mark.parametrize(
    ("use", "says"),
    [
        ("nothing", "no plugin named 'nothing' in relaygw.filters (known: "),
        ("no_such_module:x", "cannot import 'no_such_module'"),
        ("plugin_that_breaks:x", "importing 'plugin_that_breaks' failed: ZeroDivisionError"),
        ("plugin_under_test:missing", "the module 'plugin_under_test' has no 'missing'"),
        (
            "plugin_under_test:number",
            "'plugin_under_test:number' is int, not something called with (options, services)",
        ),
        ("plugin_under_test:unreadable", "refused to start: /nonexistent/secret: No such file or directory"),
        ("plugin_under_test:raising", "refused to start: RuntimeError: no licence"),
        ("plugin_under_test:refusing", "refused to start: ValueError: option 'x' makes no sense"),
        ("plugin_under_test:Bare", "does not provide IFilter"),
        ("plugin_under_test:NoPhases", "phases"),
        ("plugin_under_test:WrongArguments", "doesn't allow enough arguments"),
        (":x", "importing '' failed"),
        ("plugin_under_test:", "has no"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_refused_with_a_reason(use: str, says: str) -> None:
    with pytest.raises(PluginError) as caught:
        load(use)
    [problem] = caught.value.problems
    assert problem.startswith("filter 'mine': ")
    assert says in problem


def test_all_that_is_wrong_with_the_options_of_a_shipped_one_is_told() -> None:
    with pytest.raises(PluginError) as caught:
        load("spf", {"timeout": 0, "skipp": []})
    assert len(caught.value.problems) == 2
    assert all(problem.startswith("filter 'mine': ") for problem in caught.value.problems)


def test_the_problems_of_all_uses_are_told_at_once() -> None:
    configs = [
        FilterConfig(use="loop", options={"limitt": 1}),
        FilterConfig(use="nothing", name="mine"),
        FilterConfig(use="size", name="mine"),
        FilterConfig(use="spf"),
    ]
    with pytest.raises(PluginError) as caught:
        build_uses(configs, make_services())
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "filter 'loop'",
        "filter 'mine'",
        "filter 'mine'",
    ]
    assert "used 2 times" in caught.value.problems[2]


def test_phases_must_be_phases() -> None:
    with pytest.raises(PluginError, match="not a frozenset of Phase"):
        build_uses([FilterConfig(use="plugin_under_test:WrongPhases")], make_services())


def test_uses_keep_the_order_and_the_words_of_the_configuration() -> None:
    configs = [
        FilterConfig(use="spf", name="senders", listeners=("mx",), timeout=9.0, on_error="skip", mode="shadow"),
        FilterConfig(use="loop"),
    ]
    first, second = build_uses(configs, make_services())
    assert (first.name, first.listeners, first.timeout) == ("senders", frozenset({"mx"}), 9.0)
    assert (first.on_error, first.mode) == (OnError.SKIP, Mode.SHADOW)
    assert (second.name, second.on_error, second.mode) == ("loop", OnError.DEFER, Mode.ENFORCE)


def test_a_factory_is_found_without_being_called() -> None:
    assert find_factory("relaygw.filters", "plugin_under_test:raising", "here").__name__ == "raising"


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@attrs.frozen(kw_only=True)
class Sample:
    needed: int
    words: tuple[str, ...] = ()
    table: Mapping[str, Colour] = attrs.field(factory=dict)
    wait: Duration = 1.0
    room: Size | None = None
    flag: bool = False
    ratio: float = 1.0
    colour: Colour = Colour.RED


def problems(options: Mapping[str, Any]) -> tuple[str, ...]:
    with pytest.raises(OptionsError) as caught:
        structure_options(Sample, options)
    return caught.value.problems


def test_options_of_every_type_are_read() -> None:
    options = {
        "needed": 3,
        "words": ["a", "b"],
        "table": {"x": "blue"},
        "wait": "5m",
        "room": "1K",
        "flag": True,
        "ratio": 2,
        "colour": "blue",
    }
    assert structure_options(Sample, options) == Sample(
        needed=3,
        words=("a", "b"),
        table={"x": Colour.BLUE},
        wait=300.0,
        room=1024,
        flag=True,
        ratio=2.0,
        colour=Colour.BLUE,
    )


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("needed", "3", "option 'needed': '3' is str, wanted int"),
        ("needed", True, "option 'needed': True is bool, wanted int"),
        ("words", "ab", "option 'words': 'ab' is str, wanted a list"),
        ("words", ["a", 1], "option 'words[2]': 1 is int, wanted str"),
        ("table", [1], "option 'table': [1] is list, wanted a table"),
        ("table", {"x": "green"}, "option 'table[x]': 'green' is not one of 'red', 'blue'"),
        ("wait", "0s", "option 'wait': '0s' is wrong"),
        ("room", "1X", "option 'room': '1X' is wrong"),
        ("flag", 1, "option 'flag': 1 is int, wanted bool"),
        ("ratio", "1", "option 'ratio': '1' is str, wanted float"),
        ("colour", "green", "option 'colour': 'green' is not one of 'red', 'blue'"),
        ("color", "red", "unknown option 'color' (known: needed, words, table, wait, room, flag, ratio, colour)"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_wanted(option: str, value: object, says: str) -> None:
    [problem] = problems({"needed": 1, option: value})
    assert problem.startswith(says)


def test_a_missing_option_is_named() -> None:
    assert problems({}) == ("option 'needed' is missing",)


TOML = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([field.name for field in attrs.fields(Sample)] + ["other"]), TOML))
def test_any_table_is_read_or_is_one_named_error(options: dict[str, Any]) -> None:
    problems: tuple[str, ...] = ()
    try:
        assert isinstance(structure_options(Sample, options), Sample)
    except OptionsError as error:
        problems = error.problems or ("",)
    assert all(problems)
