"""What the service says at start and at a reload is what its operator needs next."""

from collections.abc import Iterator

import pytest
from least_configuration import LEAST
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from relaygw.config.load import parse
from relaygw.config.schema import Config
from relaygw.gateway.welcome import lines, tell_reread


def config(endpoint: str) -> Config:
    least = LEAST.replace("tcp:25", endpoint)
    return parse(f'{least}[[route]]\ntransport = "mx"\n', "/nowhere/relaygw.toml")


@pytest.fixture
def told() -> Iterator[list[LogEvent]]:
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)
    yield events
    globalLogPublisher.removeObserver(events.append)


@pytest.mark.parametrize("endpoint", ["tcp:2025:interface=127.0.0.1", "tcp:2025", "tcp6:2025"])
def test_the_first_message_goes_where_the_listener_is(endpoint: str) -> None:
    assert any("smtp://127.0.0.1:2025" in line for line in lines(config(endpoint)))


def test_without_a_place_known_by_its_address_no_command_is_shown() -> None:
    assert not any("smtp://" in line for line in lines(config("tcp6:2025:interface=2001\\\\:db8\\\\:\\\\:1")))


def test_a_reload_at_a_signal_is_told_in_the_log_of_the_process(told: list[LogEvent]) -> None:
    tell_reread((), ())
    tell_reread((), ("listener mx",))
    tell_reread(("relaygw.toml:1: bogus: there is no such option here",), ())
    assert [formatEvent(event).splitlines()[0] for event in told] == [
        "the new configuration is in use",
        "the new configuration is in use; a restart is needed for: listener mx",
        "the configuration was not taken, nothing changed:",
    ]
    assert "bogus" in formatEvent(told[-1])
