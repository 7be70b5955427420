"""Replies that wait for the end of a round: the same octets as those that leave at once, and none after the end."""

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from ingress_rig import BODY, HELLO, MAIL, MESSAGE, RCPT, Client, Rig, reply_codes

from relaygw.config.schema import LimitsConfig
from relaygw.ingress.protocol import MAX_UNSENT, TURN

LIMITS = LimitsConfig(command_timeout=30.0, data_timeout=30.0, errors=4, error_delay=1.0)


class NoTls:
    context_factory: Any = object()


class Bench:
    """One session, whose rounds end when the test says so; or at once, as if there were none."""

    def __init__(self, *, waits: bool = True, **rig: Any) -> None:
        self.waiting: list[Callable[[], None]] = []
        house: dict[str, Any] = {"at_round_end": self.waiting.append} if waits else {}
        self.rig = Rig(limits=LIMITS, **rig, **house)
        self.client: Client = self.rig.connect()

    def end_round(self) -> None:
        waiting, self.waiting[:] = list(self.waiting), []
        for action in waiting:
            action()

    def play(self, steps: Sequence[object]) -> str:
        for step in steps:
            if isinstance(step, str):
                self.client.feed(step.encode())
            elif isinstance(step, float):
                self.rig.clock.advance(step)
            elif step is Bench.drain:
                self.drain()
            else:
                self.end_round()
        self.end_round()
        return self.client.heard()

    def drain(self) -> None:
        if self.client.open:
            self.client.protocol.drain()


PIECES = (
    HELLO,
    MAIL,
    RCPT,
    "RCPT TO:<nobody@here.test>\r\n",
    "DATA\r\n",
    BODY + ".\r\n",
    MESSAGE,
    "BDAT 4 LAST\r\nabcd",
    "NOOP\r\n" * 3,
    "NOOP\r\n" * 3000,
    "NO",
    "OP\r\n",
    "what?\r\n",
    "bare\n",
    "QUIT\r\n",
    "QUIT\r\nNOOP\r\n",
)
STEPS = st.lists(
    st.one_of(
        st.sampled_from(PIECES),
        st.sampled_from((0.5, 1.0, 31.0)),
        st.just(Bench.end_round),
        st.just(Bench.drain),
    ),
    max_size=12,
)


@given(STEPS)
@example([HELLO, MESSAGE, Bench.drain])
@example([HELLO, "what?\r\n" * 8 + "NOOP\r\n", 1.0, 1.0, 1.0])
@example([HELLO, 31.0])
@example([HELLO, "NOOP\r\n", "QUIT\r\n"])
def test_whatever_happens_the_same_is_said_in_the_same_order(steps: list[object]) -> None:
    heard = Bench(waits=False).play(steps)
    waited = Bench()
    assert waited.play(steps) == heard
    assert heard.startswith("220 ")


def test_what_waits_is_said_before_tls_begins() -> None:
    bench = Bench(tls=NoTls())
    before: list[str] = []
    wire: Any = bench.client.wire
    wire.startTLS = lambda context: before.append(bench.client.heard())
    bench.client.feed((HELLO + "NOOP\r\n").encode())
    bench.client.feed(b"STARTTLS\r\n")
    assert [reply_codes(text) for text in before] == [[220, 250, 250, 220]]
    bench.end_round()
    assert bench.client.heard() == before[0]


def test_nothing_is_said_to_who_is_gone() -> None:
    bench = Bench()
    bench.end_round()
    heard = bench.client.heard()
    bench.client.feed(HELLO.encode())
    wire: Any = bench.client.wire
    wire.loseConnection()
    bench.end_round()
    assert bench.client.heard() == heard


def test_a_session_that_is_cut_says_what_it_owes() -> None:
    bench = Bench()
    bench.client.feed((HELLO + "NOOP\r\n").encode())
    bench.client.protocol.cut()
    assert reply_codes(bench.client.heard()) == [220, 250, 250]
    bench.end_round()
    assert reply_codes(bench.client.heard()) == [220, 250, 250]


def test_no_more_waits_than_is_joined() -> None:
    bench = Bench()
    bench.client.feed(b"EHLO client.test\r\n" * TURN)
    assert sum(map(len, bench.client.protocol._replies)) <= MAX_UNSENT
    assert bench.client.heard()
