"""Options about reports: one moment of warning or several, whom double bounces go to, and languages."""

from typing import Any

import pytest

from relaygw.config.schema import QueueConfig, ReportsConfig, RetryConfig
from relaygw.config.structure import Reader
from relaygw.config.units import DAY, HOUR


def read(kind: type, table: dict[str, Any]) -> tuple[Any, list[str]]:
    """The object, and what is wrong."""
    problems: list[str] = []
    reader = Reader("/etc/relaygw", lambda path, message, hint: problems.append(f"{path[-1]}: {message}"))
    return reader.read(kind, table, ("table",)), problems


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("4h", (4 * HOUR,)),
        (14400, (4 * HOUR,)),
        (["4h", "1d"], (4 * HOUR, DAY)),
        (["1d", "4h", "4h"], (4 * HOUR, DAY)),
        (0, ()),
        ("0s", ()),
        ([], ()),
    ],
)
def test_moments_of_warning(value: Any, expected: tuple[float, ...]) -> None:
    for kind, more in ((QueueConfig, {}), (RetryConfig, {"name": "x"})):
        found, problems = read(kind, {"delay_warning": value, **more})
        assert (found.delay_warning, problems) == (expected, [])


@pytest.mark.parametrize("value", ["soon", ["4h", 0], [["4h"]], {}, True, "99999d"])
def test_what_is_no_moment(value: Any) -> None:
    _, (problem,) = read(QueueConfig, {"delay_warning": value})
    assert '(0: never), or a list of such, ["4h", "1d"]' in problem


def test_who_says_nothing_gets_what_queue_says() -> None:
    found, _ = read(RetryConfig, {"name": "x"})
    assert found.delay_warning is None


@pytest.mark.parametrize("value", ["postmaster", "none", "ops@example.com"])
def test_who_is_told_of_double_bounces(value: str) -> None:
    found, problems = read(ReportsConfig, {"double_bounces": value})
    assert (found.double_bounces, problems) == (value, [])


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("double_bounces", "nobody"),
        ("double_bounces", ""),
        ("language", "e"),
        ("language", "en_GB"),
        ("returned", "all"),
    ],
)
def test_what_is_refused(option: str, value: str) -> None:
    _, (problem,) = read(ReportsConfig, {option: value})
    assert problem.startswith(f'{option}: found "{value}"')


def test_languages_have_no_case() -> None:
    found, _ = read(ReportsConfig, {"language": "pt-BR"})
    assert found.language == "pt-br"
