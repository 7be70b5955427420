"""Back-pressure: at each threshold and one beyond it, before anything is accepted, told once, and over by itself."""

from typing import Any

import pytest
from clocks import put_back
from ingress_rig import BODY, HELLO, MAIL, RCPT, Rig
from twisted.internet.task import Clock

from relaygw.config.schema import PressureConfig
from relaygw.core.events import PressureChanged, Refused
from relaygw.ingress.pressure import Load, Pressure
from relaygw.interfaces import SpoolError

LIMITS = {"free_space": 1000, "free_inodes": 10, "queue_length": 5, "memory": 100}
FINE = Load(free_space=1000, free_inodes=10, queue=5, memory=100)
NOTHING = PressureConfig(free_space=0, free_inodes=0)


def make(**config: Any) -> tuple[Pressure, Clock, list[Any]]:
    clock, told = Clock(), []
    return Pressure(PressureConfig(**{**LIMITS, **config}), clock.seconds, told.append), clock, told


@pytest.mark.parametrize(
    ("load", "reason"),
    [
        (Load(free_space=999), "little space is left on the disk"),
        (Load(free_inodes=9), "few inodes are left on the disk"),
        (Load(queue=6), "the queue is long"),
        (Load(memory=101), "the process is large"),
    ],
)
def test_each_threshold_holds_and_one_beyond_does_not(load: Load, reason: str) -> None:
    pressure, _, told = make()
    pressure.look(FINE)
    assert (pressure.reasons, pressure.refusal(0), told) == ((), None, [])
    pressure.look(load)
    assert pressure.reasons == (reason,)
    refusal = pressure.refusal(0)
    assert refusal is not None
    assert str(refusal).startswith("452 4.3.1 ")
    assert (pressure.closed is not None) == (reason == "the process is large")
    pressure.look(load)
    assert told == [PressureChanged(reasons=(reason,))]
    pressure.look(FINE)
    assert told[1:] == [PressureChanged()]
    assert pressure.refusal(0) is None


def test_nothing_is_looked_at_where_that_is_asked_and_what_is_unknown_refuses_nobody() -> None:
    pressure = Pressure(NOTHING, lambda: 0.0, [].append)
    pressure.look(Load(free_space=0, free_inodes=0, queue=10**9, memory=10**12))
    assert (pressure.reasons, pressure.closed, pressure.refusal(10**12)) == ((), None, None)
    other, _, _ = make()
    other.look(Load())
    assert (other.reasons, other.closed, other.refusal(10**12)) == ((), None, None)


def test_a_size_that_leaves_too_little_is_refused_by_itself() -> None:
    pressure, _, _ = make()
    pressure.look(Load(free_space=3000))
    assert pressure.refusal(2000) is None
    assert pressure.refusal(2001) is not None


def test_a_failure_of_the_spool_holds_for_its_time_and_is_told_once() -> None:
    pressure, clock, told = make(spool_pause=5.0)
    pressure.spool_failed("disk I/O error 1")
    pressure.spool_failed("disk I/O error 2")
    assert [event.reasons for event in told] == [("the spool failed: disk I/O error 1",)]
    clock.advance(4.9)
    assert pressure.refusal(0) is not None
    clock.advance(0.2)
    assert pressure.refusal(0) is None
    pressure.look(FINE)
    assert [event.reasons for event in told[1:]] == [()]


def test_a_failure_of_the_spool_is_over_when_the_clock_was_put_back() -> None:
    """Nobody knows how long it has been by then; whoever meets it again says so."""
    clock = Clock()
    clock.advance(7200)
    pressure = Pressure(PressureConfig(spool_pause=30.0), clock.seconds, lambda event: None)
    pressure.spool_failed("disk I/O error")
    assert pressure.refusal(0) is not None
    put_back(clock, 3600)
    assert pressure.refusal(0) is None
    clock.advance(3600)
    assert pressure.refusal(0) is None


def test_what_operators_see() -> None:
    pressure, _, _ = make()
    pressure.look(Load(free_space=5, memory=7))
    assert pressure.status() == {
        "accepting": 0,
        "reasons": ["little space is left on the disk"],
        "free_space": 5,
        "memory": 7,
    }


# At the listener


def pressed(**config: Any) -> tuple[Rig, Pressure]:
    rig = Rig()
    pressure = Pressure(PressureConfig(**{**LIMITS, **config}), rig.clock.seconds, rig.events.append)
    return Rig(pressure=pressure, clock=rig.clock), pressure


def test_mail_is_refused_before_it_is_accepted_and_the_session_goes_on() -> None:
    rig, pressure = pressed()
    client = rig.connect()
    client.send(HELLO)
    pressure.look(Load(free_space=1))
    assert client.codes(MAIL + RCPT + "DATA\r\n") == [452, 503, 503]
    assert rig.said(Refused)[0].reason == "little space is left on the disk"
    assert rig.connect().heard().startswith("220 ")
    pressure.look(FINE)
    assert client.codes(MAIL + RCPT + "DATA\r\n" + BODY + ".\r\n") == [250, 250, 354, 250]


def test_a_transaction_that_has_begun_is_not_broken_off() -> None:
    rig, pressure = pressed()
    client = rig.connect()
    client.send(HELLO + MAIL)
    pressure.look(Load(free_space=1))
    assert client.codes(RCPT + "DATA\r\n" + BODY + ".\r\n") == [250, 354, 250]


def test_the_announced_size_is_held_against_the_disk() -> None:
    rig, pressure = pressed()
    pressure.look(Load(free_space=3000))
    client = rig.connect()
    client.send(HELLO)
    assert client.codes("MAIL FROM:<a@client.test> SIZE=2001\r\n") == [452]
    assert client.codes("MAIL FROM:<a@client.test> SIZE=2000\r\n") == [250]


def test_a_process_that_is_too_large_lets_nobody_in() -> None:
    rig, pressure = pressed()
    pressure.look(Load(memory=101))
    client = rig.connect()
    assert client.heard() == "421 4.3.1 Not enough resources, try again later\r\n"
    assert not client.open
    pressure.look(Load(memory=100))
    assert rig.connect().heard().startswith("220 ")


@pytest.mark.parametrize("where", ["sink", "commit"])
def test_a_spool_that_fails_is_left_alone_for_a_while_and_tried_again(where: str) -> None:
    rig, pressure = pressed(spool_pause=5.0)
    good = getattr(rig.spool, where)

    def fails(*_: object) -> None:
        raise SpoolError("disk full")

    setattr(rig.spool, where, fails)
    client = rig.connect()
    client.send(HELLO)
    assert client.codes(MAIL + RCPT + "DATA\r\n" + (BODY + ".\r\n" if where == "commit" else ""))[-1] == 451
    setattr(rig.spool, where, good)
    assert client.codes("RSET\r\n" + MAIL) == [250, 452]
    assert pressure.reasons == ("the spool failed: disk full",)
    rig.clock.advance(5)
    assert client.codes(MAIL + RCPT + "DATA\r\n" + BODY + ".\r\n") == [250, 250, 354, 250]
