"""Each reply of a next hop, in each phase, and what comes of it: the golden tables in `tests/data/replies/PHASE.txt`.

A line of a table is a reply, the outcome of each of three recipients where every host answers so, the same where a
second host takes everything, the kind of trouble (what [[retry]] rules go by) and the rule of ours that applies.
Outcomes are `delivered`, `deferred` or `failed` with the enhanced code; `(ours)` where the words are not the server's,
`(uncertain)` where the message may have arrived. One outcome stands for all three. A new line is a new case; both with
and without PIPELINING must come to it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from egress_support import CLOSE, SILENCE, Server, make_attempt, make_record, pending, result, run
from test_smtp_delivery import ROUTE, World

from relaygw.core.outcome import Outcome, Status
from relaygw.core.providers import RULES
from relaygw.core.remote_rules import compile_rules
from relaygw.core.trouble import Trouble, trouble_of
from relaygw.egress.delivery import Stop
from relaygw.egress.hop import Hop, Login, TlsMode
from relaygw.egress.secrets import Secret

FOLDER = Path(__file__).parents[1] / "data" / "replies"
PHASES = sorted(path.stem for path in FOLDER.glob("*.txt"))
THREE = ("b@example.org", "c@example.org", "d@example.org")
PROVIDED = compile_rules((), RULES)
OK, NO_RECIPIENTS = b"250 2.1.5 ok\r\n", b"503 5.5.1 no valid recipients\r\n"
LOGGED_IN = ("auth", "mail_after_login")
SPECIAL = {"CLOSE": CLOSE, "SILENCE": SILENCE}


def rows(phase: str) -> Iterator[tuple[str, str]]:
    """The replies of a table, and what stands behind each."""
    for line in (FOLDER / f"{phase}.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            reply, _, expected = line.partition(" | ")
            yield reply.strip(), expected.strip()


def wire(reply: str) -> bytes:
    """`\\n` in a table is the end of a line."""
    return SPECIAL.get(reply) or (reply.replace("\\n", "\r\n") + "\r\n").encode() if reply != "SILENCE" else SILENCE


def server(phase: str, reply: str, offers: tuple[str, ...]) -> Server | None:
    """A host that says this in the phase, and else what a host says that means it."""
    said = wire(reply)
    accepts = said.startswith(b"2")
    answers: dict[str, Any] = {phase: said}
    if phase == "connect":
        return None
    if phase == "rcpt":
        answers = {"rcpt": [OK, said, OK]}
    elif phase == "every_rcpt":
        answers = {"rcpt": said} | ({} if accepts else {"data": NO_RECIPIENTS})
    elif phase == "mail":
        answers = {"mail": said} | ({} if accepts else {"rcpt": NO_RECIPIENTS, "data": NO_RECIPIENTS})
    elif phase == "lmtp_end":
        answers = {"end": OK + said + OK if said else OK}
    elif phase == "mail_after_login":
        answers = {"mail": said, "rcpt": NO_RECIPIENTS, "data": NO_RECIPIENTS}
    if phase in LOGGED_IN:
        offers = (*offers, "AUTH PLAIN")
        answers = {"auth": b"235 2.7.0 ok\r\n"} | answers
    return Server(offers, **answers)


def hop(phase: str, folder: Path) -> Hop:
    if phase in LOGGED_IN:
        (folder / "password").write_text("x")
        login = Login(username="me", password=Secret("file", str(folder / "password")), in_clear=True)
        return Hop(tls=TlsMode.NONE, login=login)
    return Hop(tls=TlsMode.NONE, lmtp=phase == "lmtp_end")


def outcomes(phase: str, reply: str, offers: tuple[str, ...], folder: Path, second: int) -> tuple[Outcome, ...]:
    """With a `second` host where that is not 0: it takes so many recipients, with an answer for each by LMTP."""
    good = Server((*offers, "AUTH PLAIN"), auth=b"235 2.7.0 ok\r\n", end=OK * second if phase == "lmtp_end" else OK)
    world = World([server(phase, reply, offers) for _ in range(4)], *([good] if second else []))
    stops = [Stop(target=stop.target, hop=hop(phase, folder)) for stop in world.stops()]
    attempt = make_attempt(make_record(*THREE), ROUTE)
    carried = run(world.reactor, world.courier.carry(attempt, stops))
    for _ in range(8):
        if pending(carried):
            world.reactor.pass_time(700)
    found: tuple[Outcome, ...] = result(carried)
    return found


def shown(found: tuple[Outcome, ...]) -> str:
    words = [
        f"{each.status.value} {each.reply.enhanced or each.reply.code}"
        f"{'' if each.remote else ' (ours)'}{' (uncertain)' if each.uncertain else ''}"
        for each in found
    ]
    return words[0] if len(set(words)) == 1 else ", ".join(words)


def row(phase: str, reply: str, offers: tuple[str, ...], folder: Path) -> str:
    alone = outcomes(phase, reply, offers, folder, 0)
    waiting = sum(each.status is Status.DEFERRED and not each.uncertain for each in alone)
    both = outcomes(phase, reply, offers, folder, waiting or len(THREE))
    troubles = [trouble_of(each) for each in alone]
    trouble = next((each for each in troubles if each is not Trouble.NONE), Trouble.NONE)
    rules = [PROVIDED.rule("mx.example.org", each) for each in alone]
    rule = next((f"{each.name}: {each.action.value}" for each in rules if each is not None), "-")
    return f"{shown(alone)} | {shown(both)} | {trouble.value} | {rule}"


@pytest.mark.parametrize("offers", [("PIPELINING",), ()], ids=["pipelining", "in turn"])
@pytest.mark.parametrize("phase", PHASES)
def test_each_reply_comes_to_its_outcome(phase: str, offers: tuple[str, ...], tmp_path: Path) -> None:
    table = list(rows(phase))
    assert [(reply, row(phase, reply, offers, tmp_path)) for reply, _ in table] == table


def test_no_phase_is_without_its_table() -> None:
    assert set(PHASES) == {
        "connect",
        "greeting",
        "ehlo",
        "auth",
        "mail",
        "mail_after_login",
        "rcpt",
        "every_rcpt",
        "data",
        "end",
        "lmtp_end",
    }
