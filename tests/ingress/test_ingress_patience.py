"""Time and crowds: greeting delay, early talkers, tarpit, connection limits, last words, slow clients."""

import ipaddress
from typing import Any

import attrs
import pytest
from ingress_rig import BODY, HELLO, MAIL, RCPT, Client, Rig, Scripted, Wire
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred

from relaygw.config.schema import LimitsConfig
from relaygw.core.events import Disconnected, Refused
from relaygw.core.session import Role
from relaygw.core.verdict import Phase, reject
from relaygw.ingress.crowd import MAX_KEYS, Crowd
from relaygw.ingress.factory import MAX_TURNED_AWAY, TURNED_AWAY, IngressFactory
from relaygw.ingress.protocol import LINGER
from relaygw.ingress.refusals import FREE_ERRORS, MAX_PENALTY

# Greeting


def test_the_greeting_waits_and_comes() -> None:
    rig = Rig(greeting_delay=5.0)
    client = rig.connect()
    rig.clock.advance(4.9)
    assert client.heard() == ""
    rig.clock.advance(0.2)
    assert client.heard().startswith("220 ")
    assert client.codes(HELLO) == [250]


def test_who_speaks_before_the_greeting_is_refused_and_told_of() -> None:
    rig = Rig(greeting_delay=5.0)
    client = rig.connect()
    rig.clock.advance(1)
    assert client.send(HELLO) == "554 5.5.0 Wait for the greeting\r\n"
    assert not client.open
    (refused,) = rig.said(Refused)
    assert (refused.command, refused.reply) == ("connect", "554 5.5.0 Wait for the greeting")
    assert rig.clock.getDelayedCalls() == []


@pytest.mark.parametrize("delay", [0.0, 5.0])
def test_nobody_waits_where_nothing_is_delayed_or_the_client_is_trusted(delay: float) -> None:
    rig = Rig(greeting_delay=delay)
    assert rig.connect("203.0.113.9" if delay else "192.0.2.1").heard().startswith("220 ")


def test_a_client_that_leaves_while_it_waits_leaves_nothing() -> None:
    rig = Rig(greeting_delay=5.0)
    client = rig.connect()
    client.wire.loseConnection()
    assert rig.clock.getDelayedCalls() == []
    assert rig.factory.connections == 0


def test_a_refusal_of_the_filters_waits_as_well() -> None:
    rig = Rig(greeting_delay=5.0, filters=[Scripted({Phase.CONNECT: reject("listed")})])
    client = rig.connect()
    rig.clock.advance(4)
    assert client.heard() == ""
    rig.clock.advance(1)
    assert client.heard() == "550 5.7.1 listed\r\n"
    assert not client.open


# Tarpit

UNKNOWN = "RCPT TO:<nobody@here.test>\r\n"


def test_errors_beyond_the_free_ones_are_answered_later_each_time() -> None:
    rig = Rig(limits=LimitsConfig(error_delay=2.0))
    client = rig.connect()
    assert client.codes(HELLO + MAIL + UNKNOWN * FREE_ERRORS) == [250, 250] + [550] * FREE_ERRORS
    for number in (1, 2, 3):
        assert client.send(UNKNOWN + "NOOP\r\n") == ""
        rig.clock.advance(2.0 * number - 0.1)
        assert client.heard() == ""
        rig.clock.advance(0.2)
        assert [line[:3] for line in client.heard().split("\r\n")] == ["550", "250", ""]


def test_the_delay_has_an_end_and_a_message_forgives() -> None:
    rig = Rig(limits=LimitsConfig(error_delay=20.0, errors=1000))
    client = rig.connect()
    client.send(HELLO + MAIL + UNKNOWN * FREE_ERRORS)
    client.send(UNKNOWN)
    rig.clock.advance(20)
    client.send(UNKNOWN)
    rig.clock.advance(MAX_PENALTY - 0.1)
    assert client.heard() == ""
    rig.clock.advance(0.2)
    assert client.heard().startswith("550")
    assert client.codes(RCPT + "DATA\r\n" + BODY + ".\r\n") == [250, 354, 250]
    assert client.codes(MAIL + UNKNOWN) == [250, 550]


@pytest.mark.parametrize("how", ["trusted", "temporary", "off"])
def test_no_delay_for(how: str) -> None:
    limits = LimitsConfig(error_delay=0.0 if how == "off" else 2.0, recipients=1, errors=1000)
    rig = Rig(limits=limits)
    client = rig.connect("203.0.113.9" if how == "trusted" else "192.0.2.1")
    client.send(HELLO + MAIL)
    if how == "temporary":
        assert client.codes(RCPT + "RCPT TO:<other@here.test>\r\n" * 10) == [250] + [452] * 10
    else:
        assert client.codes(UNKNOWN * 10) == [550] * 10


def test_a_client_that_leaves_the_tarpit_leaves_nothing() -> None:
    rig = Rig(limits=LimitsConfig(error_delay=2.0))
    client = rig.connect()
    client.send(HELLO + MAIL + UNKNOWN * (FREE_ERRORS + 1))
    client.wire.loseConnection()
    assert rig.clock.getDelayedCalls() == []
    assert rig.factory.connections == 0


# Crowds


@pytest.mark.parametrize(
    ("first", "second"),
    [("192.0.2.1", "192.0.2.254"), ("2001:db8::1", "2001:db8::ffff:1")],
)
def test_connections_of_a_network_block_at_the_limit_and_beyond(first: str, second: str) -> None:
    rig = Rig(listener={"max_connections_per_network": 2})
    one = rig.connect(first)
    assert rig.connect(second).heard().startswith("220 ")
    third = rig.connect(second)
    assert third.heard() == "421 4.7.0 Too many connections, try again later\r\n"
    assert not third.open
    assert "too many connections from" in rig.said(Refused)[0].reason
    assert rig.connect("198.51.100.1").heard().startswith("220 ")
    one.wire.loseConnection()
    assert rig.connect(second).heard().startswith("220 ")


def test_trusted_clients_come_as_they_like() -> None:
    rig = Rig(listener={"max_connections_per_network": 1, "connections_per_minute": 1})
    assert all(rig.connect("203.0.113.9").heard().startswith("220 ") for _ in range(5))


def test_the_rate_of_a_client_and_of_its_block() -> None:
    rig = Rig(listener={"connections_per_minute": 2, "connections_per_minute_per_network": 3})

    def comes(client: str) -> bool:
        found = rig.connect(client)
        welcome = found.heard().startswith("220 ")
        found.wire.loseConnection()
        return welcome

    assert [comes("192.0.2.1") for _ in range(3)] == [True, True, False]
    assert [comes("192.0.2.2") for _ in range(2)] == [True, False]
    rig.clock.advance(60)
    assert comes("192.0.2.1")


def test_a_crowd_outlives_its_factory_and_is_bounded() -> None:
    crowd = Crowd()
    rig = Rig()
    config = attrs.evolve(rig.factory._config, connections_per_minute=1, max_connections=1)
    for number in range(MAX_KEYS + 10):
        client = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        assert crowd.refusal(config, client, False, 0.0) == ""
    assert len(crowd._rates["client"]) == MAX_KEYS
    crowd.enter("192.0.2.1")
    assert crowd.refusal(config, "192.0.2.2", False, 0.0) == "too many connections in all"
    crowd.leave("192.0.2.1")
    assert crowd.refusal(config, "192.0.2.2", False, 0.0) == ""
    assert (crowd.total, len(crowd._clients), len(crowd._blocks)) == (0, 0, 0)


def test_a_fence_lets_in_its_networks_alone() -> None:
    rig = Rig(listener={"networks": (ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("2001:db8::/64"))})
    assert rig.connect("10.1.255.255").heard().startswith("220 ")
    assert rig.connect("2001:db8::1").heard().startswith("220 ")
    for stranger in ("10.2.0.0", "2001:db8:0:1::1"):
        client = rig.connect(stranger)
        assert client.heard() == "554 5.7.1 This service is not for your network\r\n"
        assert not client.open
    assert [event.command for event in rig.said(Refused)] == ["connect", "connect"]


# Last words


def lingering(rig: Rig) -> Client:
    client = rig.connect()
    client.wire.lingers = True
    return client


def test_a_client_that_still_sends_can_read_our_last_words() -> None:
    rig = Rig(limits=LimitsConfig(errors=1))
    client = lingering(rig)
    assert client.codes("BAD\r\nWORSE\r\nNOOP\r\n") == [500, 421]
    assert client.wire.half_closed
    assert client.open
    assert client.send("x" * 100_000) == ""
    rig.clock.advance(LINGER - 0.1)
    assert client.open
    rig.clock.advance(0.2)
    assert client.wire.aborted
    assert rig.said(Disconnected)[0].cause == "too many errors"
    assert rig.clock.getDelayedCalls() == []


def test_a_client_that_was_not_read_is_read_again_at_the_end() -> None:
    rig = Rig()
    client = lingering(rig)
    client.send(HELLO)
    rig.directory.later["user"] = Deferred()
    client.send(MAIL + RCPT + "NOOP\r\n" * 20_000)
    assert client.wire.producerState == "paused"
    client.protocol._close("test")
    assert client.wire.producerState == "producing"


def test_quit_needs_no_lingering() -> None:
    rig = Rig()
    client = lingering(rig)
    assert client.codes("QUIT\r\n") == [221]
    assert not client.wire.half_closed
    assert not client.open


def test_many_who_are_turned_away_do_not_linger() -> None:
    rig = Rig(listener={"max_connections": 1})
    rig.connect()
    turned: list[Any] = []
    for _ in range(MAX_TURNED_AWAY + 1):
        address = IPv4Address("TCP", "192.0.2.7", 1)
        wire = Wire(address)
        wire.lingers = True
        wire.protocol = rig.factory.buildProtocol(address)
        wire.protocol.makeConnection(wire)
        turned.append(wire)
    assert [wire.connected for wire in turned] == [True] * MAX_TURNED_AWAY + [False]
    assert all(wire.value().startswith(b"421 ") for wire in turned)
    rig.clock.advance(TURNED_AWAY)
    assert not any(wire.connected for wire in turned)


# Slow clients


def test_a_command_has_to_be_whole_in_time_however_often_something_comes() -> None:
    rig = Rig(limits=LimitsConfig(command_timeout=60.0))
    client = rig.connect()
    client.send(HELLO)
    for _ in range(6):
        client.feed(b"N")
        rig.clock.advance(9.9)
        assert client.open
    rig.clock.advance(1)
    assert client.heard().endswith("421 4.4.2 Timeout\r\n")
    assert not client.open


def test_each_piece_of_a_message_has_its_own_time() -> None:
    rig = Rig(limits=LimitsConfig(command_timeout=300.0, data_timeout=60.0))
    client = rig.connect()
    client.send(HELLO + MAIL + RCPT + "DATA\r\n")
    for _ in range(5):
        rig.clock.advance(59.9)
        client.feed(b"a line\r\n")
    assert client.open
    rig.clock.advance(61)
    assert client.heard().endswith("421 4.4.2 Timeout\r\n")
    assert rig.stored() == []


def test_a_greeting_that_waits_is_no_silence_of_the_client() -> None:
    rig = Rig(greeting_delay=200.0, limits=LimitsConfig(command_timeout=60.0), role=Role.MX)
    client = rig.connect()
    for _ in range(20):
        rig.clock.advance(10)
    assert client.heard().startswith("220 ")
    rig.clock.advance(59)
    assert client.open


def test_sessions_of_before_a_reload_are_still_counted() -> None:
    crowd = Crowd()
    rig = Rig()
    config = attrs.evolve(rig.factory._config, max_connections=1)
    before, after = (IngressFactory(rig.house, config, crowd) for _ in range(2))

    def comes(factory: IngressFactory) -> Wire:
        address = IPv4Address("TCP", "192.0.2.1", 1)
        wire = Wire(address)
        wire.protocol = factory.buildProtocol(address)
        wire.protocol.makeConnection(wire)
        return wire

    old = comes(before)
    assert comes(after).value().startswith(b"421 ")
    old.loseConnection()
    assert comes(after).value().startswith(b"220 ")
