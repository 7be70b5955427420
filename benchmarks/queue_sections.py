"""The sections of benchmarks/queue.py: each measures relaygw, and Postfix + OpenDKIM where it can be compared."""

import argparse
import contextlib
import json
import sqlite3
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import attrs
import costs
import filling
import rig

from relaygw.testing.ports import free_port

SIZE = 2048
SESSIONS = (1, 20, 100, 400)
PROCESSES = "default_process_limit = 500\n"
"""For Postfix: each of 400 sessions has a process."""

SECTIONS = ("sessions", "down", "letter", "deep", "stalls")


@attrs.frozen(kw_only=True)
class Row:
    """One figure; `bound` is what it must keep to, as words, and `broken` whether it does not."""

    figure: str
    unit: str
    relaygw: float
    peer: float | None = None
    bound: str = ""
    broken: bool = False

    @property
    def ratio(self) -> float | None:
        return self.relaygw / self.peer if self.peer else None


def ours(port: int) -> AbstractContextManager[rig.Server]:
    return rig.relaygw(port, change=rig.many_sessions)


def theirs(port: int) -> AbstractContextManager[rig.Server]:
    return rig.postfix(port, settings=PROCESSES)


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def middle(found: list[dict[str, float]], name: str) -> float:
    return statistics.median(each[name] for each in found)


# -- sessions ---------------------------------------------------------------------------------------------------------


def sessions(options: argparse.Namespace) -> list[Row]:
    rows = []
    for number in SESSIONS:
        found: dict[str, list[dict[str, float]]] = {"relaygw": [], "peer": []}
        for _ in range(options.rounds):
            for name, make in (("relaygw", ours), ("peer", theirs)):
                found[name].append(_pass_through(make, number, options.messages))
                note(f"{number} sessions, {name}: {found[name][-1]}")
        for figure, unit in (("accepted", "/s"), ("delivered", "/s"), ("syncs a message", ""), ("CPU a message", "ms")):
            here, there = middle(found["relaygw"], figure), middle(found["peer"], figure)
            few = figure == "syncs a message" and number == 100
            rows.append(
                Row(
                    figure=f"{figure}, {number} sessions",
                    unit=unit,
                    relaygw=here,
                    peer=there,
                    bound="under 0.1" if few else "",
                    broken=few and here >= 0.1,
                )
            )
    return rows


def _pass_through(
    make: Callable[[int], AbstractContextManager[rig.Server]], sessions: int, messages: int
) -> dict[str, float]:
    messages = max(messages // 4, 50) if sessions == 1 else messages
    sink = rig.Sink()
    try:
        with make(sink.port) as server:
            _warm(server, sink, sessions)
            target, began, cpu = sink.messages + messages, time.monotonic(), costs.cpu_seconds(server.roots)
            accepted = rig.source(server.port, messages=messages, size=SIZE, sessions=sessions)
            _wait(sink, target, 300, server)
            delivered = time.monotonic() - began
            time.sleep(0.5)  # what is done after the last delivery is part of the price
            cpu = costs.cpu_seconds(server.roots) - cpu
        return {
            "accepted": messages / accepted,
            "delivered": messages / delivered,
            "syncs a message": _syncs(make, sink, sessions, messages),
            "CPU a message": cpu * 1000 / messages,
        }
    finally:
        sink.stop()


def _warm(server: rig.Server, sink: rig.Sink, sessions: int) -> None:
    rig.source(server.port, messages=100, size=SIZE, sessions=min(sessions, 20))
    sink.wait(sink.messages + 1, 10)
    time.sleep(1.0)


def _syncs(
    make: Callable[[int], AbstractContextManager[rig.Server]], sink: rig.Sink, sessions: int, messages: int
) -> float:
    """Syncs a message. Postfix makes as many however fast it is, relaygw fewer the faster it is: it is not slowed."""
    if make is theirs:
        with make(sink.port) as server:
            _warm(server, sink, sessions)
            some = max(messages // 5, 50)
            return rig.syncs(server, lambda: _and_wait(server, sink, some, sessions)) / some
    with rig.relaygw(sink.port, change=rig.many_sessions, traced=True) as server:
        _warm(server, sink, sessions)
        before = rig.syncs_so_far(server)
        _and_wait(server, sink, messages, sessions)
        time.sleep(0.5)
        return (rig.syncs_so_far(server) - before) / messages


def _and_wait(server: rig.Server, sink: rig.Sink, messages: int, sessions: int) -> None:
    target = sink.messages + messages
    rig.source(server.port, messages=messages, size=SIZE, sessions=sessions)
    _wait(sink, target, 300, server)


def _wait(sink: rig.Sink, target: int, seconds: float, server: rig.Server) -> None:
    if not sink.wait(target, seconds):
        sys.exit(f"{server.name}: only {sink.messages} of {target} messages came out in {seconds:.0f} s")


# -- down -------------------------------------------------------------------------------------------------------------


def down(options: argparse.Namespace) -> list[Row]:
    found: dict[str, list[dict[str, float]]] = {"relaygw": [], "peer": []}
    for _ in range(options.rounds):
        for name, make, flush in (("relaygw", ours, flush_ours), ("peer", theirs, flush_theirs)):
            found[name].append(_take_and_drain(make, flush, options.down))
            note(f"next hop down, {name}: {found[name][-1]}")
    rows = []
    for figure, unit, bound, holds in (
        ("accepted", "/s", "at least 2 x", lambda here, there: here >= 2 * there),
        ("CPU a message taken", "ms", "", None),
        ("memory", "MB", "under 150 MB", lambda here, there: here < 150),
        ("drained", "/s", "at least 0.8 x", lambda here, there: here >= 0.8 * there),
        ("CPU a message drained", "ms", "", None),
        ("first after the order", "s", "", None),
    ):
        here, there = middle(found["relaygw"], figure), middle(found["peer"], figure)
        broken = holds is not None and not holds(here, there)
        label = f"{options.down} messages, next hop down: {figure}"
        rows.append(Row(figure=label, unit=unit, relaygw=here, peer=there, bound=bound, broken=broken))
    return rows


def _take_and_drain(
    make: Callable[[int], AbstractContextManager[rig.Server]], flush: Callable[[rig.Server], object], messages: int
) -> dict[str, float]:
    port = free_port()
    with make(port) as server, costs.Peak(server.roots) as peak:
        cpu = costs.cpu_seconds(server.roots)
        accepted = rig.source(server.port, messages=messages, size=SIZE, sessions=20)
        time.sleep(2.0)  # first attempts end
        taken = costs.cpu_seconds(server.roots) - cpu
        sink = rig.Sink(port)
        try:
            cpu, began = costs.cpu_seconds(server.roots), time.monotonic()
            ordering = threading.Thread(target=flush, args=(server,))
            ordering.start()
            _wait(sink, 1, 120, server)
            first = time.monotonic() - began
            _wait(sink, messages, 600, server)
            drained = time.monotonic() - began
            ordering.join()
            return {
                "accepted": messages / accepted,
                "CPU a message taken": taken * 1000 / messages,
                "memory": peak.megabytes,
                "drained": messages / drained,
                "CPU a message drained": (costs.cpu_seconds(server.roots) - cpu) * 1000 / messages,
                "first after the order": first,
            }
        finally:
            sink.stop()


def flush_ours(server: rig.Server) -> None:
    _relaygw(server, "queue", "retry", "--all")


def flush_theirs(server: rig.Server) -> None:
    subprocess.run([rig.program("postqueue"), "-c", str(server.folder / "conf"), "-f"], check=True, capture_output=True)


def _relaygw(server: rig.Server, *words: str) -> str:
    program = Path(sys.executable).parent / "relaygw"
    command = [str(program), "--config", str(server.folder / "relaygw.toml"), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=1200).stdout


# -- letter -----------------------------------------------------------------------------------------------------------


def letter(options: argparse.Namespace) -> list[Row]:
    """The spool is filled while relaygw is stopped; the mailing is due, and so is a letter, behind all of it."""
    sink = rig.Sink()
    folder: list[Path] = []

    def fill(server_folder: Path) -> None:
        folder.append(server_folder)
        given = filling.options_of(messages=options.mailing, senders=1, due=-60.0, spread=30.0, letter=True)
        filling.fill(str(server_folder / "state" / "spool"), given)

    try:
        with rig.relaygw(sink.port, change=rig.many_sessions, before=fill) as server:
            began = time.time()
            journal = server.folder / "state" / "journal.jsonl"
            at_start = _delivered(journal, "letter@dest.test", 120) - began
            waits, left = [], 0
            for number in range(options.letters):
                time.sleep(0.5)
                address = f"person-{number}@dest.test"
                sent = time.time()
                rig.source(
                    server.port, messages=1, size=SIZE, sessions=1, sender=f"{_word(number)}@example.test",
                    recipient=address,
                )  # fmt: skip
                waits.append(_delivered(journal, address, 60) - sent)
                left = max(options.mailing - sink.messages, 0)
            note(f"{left} of the mailing were still to come at the last letter")
    finally:
        sink.stop()
    label = f"mailing of {options.mailing} due"
    return [
        Row(
            figure=f"{label}: a letter behind it, after the start",
            unit="s",
            relaygw=at_start,
            bound="a few seconds",
            broken=at_start > 5.0,
        ),
        Row(
            figure=f"{label}: letters that come meanwhile, longest",
            unit="s",
            relaygw=max(waits),
            bound="a few seconds",
            broken=max(waits) > 5.0,
        ),
        Row(figure=f"{label}: of it still to come at the last letter", unit="", relaygw=left),
    ]


def _word(number: int) -> str:
    return f"person{chr(97 + number // 26 % 26)}{chr(97 + number % 26)}"


def _delivered(journal: Path, recipient: str, seconds: float) -> float:
    """The time at which the journal told that this recipient had his message."""
    end = time.monotonic() + seconds
    wanted = f'"recipient":"{recipient}"'
    place, rest = 0, ""
    while time.monotonic() < end:
        if journal.exists():
            with journal.open() as file:
                file.seek(place)
                rest += file.read()
                place = file.tell()
            for line in rest.splitlines():
                if wanted in line and '"status":"delivered"' in line:
                    return time.time()
            rest = rest[rest.rfind("\n") + 1 :]
        time.sleep(0.01)
    sys.exit(f"the letter to {recipient} was not delivered in {seconds:.0f} s")


# -- deep -------------------------------------------------------------------------------------------------------------


def deep(options: argparse.Namespace) -> list[Row]:
    """Nothing of it is due for hours; the next hop takes what comes meanwhile. The index is made while mail comes
    in, as after an upgrade, and once it is there mail comes in again."""
    number = 1_000_000 if options.million else options.deep
    empty, full, rows = [], [], []
    with _deep_gateway(0) as (server, sink):
        for _ in range(options.rounds):
            empty.append(_accept(server, sink, options.messages))
    with _deep_gateway(number) as (server, sink):
        start, memory = server.seconds, costs.pss_megabytes(server.roots)
        while_indexed = [_accept(server, sink, options.messages) for _ in range(options.rounds)]
        indexing = _indexed(server, number)
        for _ in range(options.rounds):
            full.append(_accept(server, sink, options.messages))
        after = costs.pss_megabytes(server.roots)
        asked = {
            figure: statistics.median(_timed(server, *words.split()) for _ in range(3))
            for figure, words in _QUESTIONS.items()
        }
    label = f"{number} queued"
    here, there = statistics.median(full), statistics.median(empty)
    rows += [
        Row(figure=f"{label}: start to listening", unit="s", relaygw=start, bound="under 5 s", broken=start >= 5),
        Row(figure=f"{label}: memory", unit="MB", relaygw=memory, bound="under 300 MB", broken=memory >= 300),
        Row(
            figure=f"{label}: memory after the load",
            unit="MB",
            relaygw=after,
            bound="under 300 MB",
            broken=after >= 300,
        ),
        Row(figure=f"{label}: accepted", unit="/s", relaygw=here),
        Row(figure="empty queue: accepted", unit="/s", relaygw=there),
        Row(
            figure=f"{label}: accepted, beside an empty queue",
            unit="x",
            relaygw=here / there,
            bound="at least 0.8",
            broken=here < 0.8 * there,
        ),
        Row(figure=f"{label}: all but the newest indexed after", unit="s", relaygw=indexing),
        Row(
            figure=f"{label}: accepted while it is indexed, beside an empty queue",
            unit="x",
            relaygw=statistics.median(while_indexed) / there,
            bound="at least 0.8",
            broken=statistics.median(while_indexed) < 0.8 * there,
        ),
    ]
    return rows + [Row(figure=f"{label}: {figure}", unit="s", relaygw=seconds) for figure, seconds in asked.items()]


_QUESTIONS = {
    "status, to which the others compare": "status",
    "queue list, first 100": "queue list --limit 100",
    "queue list --sender, none found": "queue list --sender nobody@example.test",
    "queue list --sender, 20 found of a million": "queue list --sender senderb@example.test",
    "queue list --recipient @domain, first 100": "queue list --recipient dest.test --limit 100",
    "queue list --recipient @domain, none found": "queue list --recipient nowhere.test",
    "queue list --login, none found": "queue list --login nobody",
    "queue list --older-than, none found": "queue list --older-than 30d",
    "queue list --held": "queue list --held",
    "queue list --reply, which has no index, none found": "queue list --reply greylisted",
    "queue remove --sender --dry-run, 20 counted": "queue remove --sender senderb@example.test --dry-run",
}
"""Figures, and what is asked for them."""


def _indexed(server: rig.Server, messages: int) -> float:
    """Seconds from the start to when the queue's index had all but the newest messages."""
    path = server.folder / "state" / "spool" / "spool.sqlite"
    while True:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            found = database.execute("SELECT coalesce(sum(messages), 0) FROM index_part").fetchone()[0]
        if found >= messages - 25_000:
            return time.monotonic() - server.began
        time.sleep(0.5)


@contextlib.contextmanager
def _deep_gateway(messages: int) -> Iterator[tuple[rig.Server, rig.Sink]]:
    def fill(folder: Path) -> None:
        if messages:
            note(f"filling the spool with {messages} messages")
            filling.fill(str(folder / "state" / "spool"), filling.options_of(messages=messages))

    sink = rig.Sink()
    try:
        with rig.relaygw(sink.port, change=rig.many_sessions, before=fill) as server:
            time.sleep(2.0)
            yield server, sink
    finally:
        sink.stop()


def _accept(server: rig.Server, sink: rig.Sink, messages: int) -> float:
    target = sink.messages + messages
    accepted = messages / rig.source(server.port, messages=messages, size=SIZE, sessions=20)
    _wait(sink, target, 300, server)
    time.sleep(0.5)
    return accepted


def _timed(server: rig.Server, *words: str) -> float:
    began = time.monotonic()
    _relaygw(server, *words)
    return time.monotonic() - began


# -- stalls -----------------------------------------------------------------------------------------------------------


def stalls(options: argparse.Namespace) -> list[Row]:
    client = [
        sys.executable,
        str(Path(__file__).with_name("stalls.py")),
        "--messages",
        str(max(options.messages, 5000)),
    ]
    if options.deep or options.million:
        client += ["--deep", str(options.deep)]
    found: dict[str, float] = json.loads(subprocess.run(client, check=True, capture_output=True, timeout=900).stdout)
    note(f"{found['checkpoints']:.0f} checkpoints")
    worst = found["p99 during checkpoints"]
    return [
        Row(figure="commit, p50", unit="ms", relaygw=found["p50"]),
        Row(figure="commit, p99", unit="ms", relaygw=found["p99"]),
        Row(
            figure="commit while the log is copied, p99",
            unit="ms",
            relaygw=worst,
            bound="under 50 ms",
            broken=worst >= 50,
        ),
        Row(figure="longest checkpoint", unit="ms", relaygw=found["longest checkpoint"]),
    ]


# -- all --------------------------------------------------------------------------------------------------------------


def main(description: str) -> None:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--messages", type=int, default=3000, help="a round of a section; a quarter at 1 session")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--down", type=int, default=20_000, help="messages while the next hop is down")
    parser.add_argument("--mailing", type=int, default=100_000)
    parser.add_argument("--letters", type=int, default=20)
    parser.add_argument("--deep", type=int, default=100_000, help="messages of the deep queue")
    parser.add_argument("--million", action="store_true", help="the deep queue has a million")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    unknown = set(options.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"there is no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    rows: list[Row] = []
    for name in options.sections or SECTIONS:
        rows += globals()[name](options)
    _show(rows, options.json)
    broken = [f"{row.figure}: {row.relaygw:.3g} {row.unit} ({row.bound})" for row in rows if row.broken]
    if broken:
        sys.exit("bounds are broken:\n  " + "\n  ".join(broken))


def _show(rows: list[Row], as_json: bool) -> None:
    if as_json:
        document: list[dict[str, Any]] = [{**attrs.asdict(row), "ratio": row.ratio} for row in rows]
        print(json.dumps({"peer": "Postfix + OpenDKIM", "rows": document}, indent=2))
        return
    print(f"{'':64}{'relaygw':>12}{'Postfix + OpenDKIM':>22}{'ratio':>8}  bound")
    for row in rows:
        peer = f"{row.peer:18.2f} {row.unit:3}{row.ratio or 0:8.2f}" if row.peer is not None else " " * 30
        print(f"{row.figure:64}{row.relaygw:8.2f} {row.unit:3}{peer}  {row.bound}{'  BROKEN' if row.broken else ''}")
