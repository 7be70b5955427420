"""Relaying, end to end: smtp-source → server → smtp-sink, relaygw and Postfix + OpenDKIM in turn, several rounds.

    python benchmarks/relay.py [--spf] [--rounds 5] [--messages 3000] [--json]

Both sign RSA-2048, both are durable before the 250, both write their logs. A rate counts until the sink has taken the
last message. With --spf both look at the SPF of every client (Postfix through policyd-spf), and show in the header that
they did before anything is measured. Figures are medians of the rounds; this kind of machine is noisy, so read the
ratios.
"""

import argparse
import contextlib
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import costs
import names
import rig
import tables
from catcher import Make, prove

_ZONE = """\
example.test. 3600 IN TXT "v=spf1 include:_spf.example.test -all"
_spf.example.test. 3600 IN TXT "v=spf1 ip4:192.0.2.0/24 ip4:127.0.0.0/8 -all"
client.example.test. 3600 IN A 127.0.0.1
client.example.test. 3600 IN TXT "v=spf1 a -all"
"""

SIGNED = b"DKIM-Signature:"

CASES = {"2 KB": (2048, 20), "100 KB": (102400, 20)}


@attrs.define
class Figures:
    """What one server showed: per case a list over the rounds."""

    rate: dict[str, list[float]] = attrs.field(factory=dict)
    cpu: dict[str, list[float]] = attrs.field(factory=dict)
    memory: list[float] = attrs.field(factory=list)
    p50: list[float] = attrs.field(factory=list)
    p99: list[float] = attrs.field(factory=list)
    syncs: float = 0.0


def _throughput(server: rig.Server, sink: rig.Sink, size: int, sessions: int, messages: int) -> tuple[float, float]:
    """Delivered messages per second, and CPU milliseconds per message."""
    target, cpu, started = sink.messages + messages, costs.cpu_seconds(server.roots), time.monotonic()
    rig.source(server.port, messages=messages, size=size, sessions=sessions)
    if not sink.wait(target, 300):
        sys.exit(f"{server.name}: only {sink.messages} of {target} messages came out")
    seconds = time.monotonic() - started
    time.sleep(0.5)  # what is done after the last delivery is part of the price
    return messages / seconds, (costs.cpu_seconds(server.roots) - cpu) * 1000 / messages


def _latency(server: rig.Server, sink: rig.Sink, seconds: float) -> tuple[float, float]:
    target = sink.messages + int(100 * seconds)
    client = [
        sys.executable,
        str(Path(__file__).with_name("latency.py")),
        str(server.port),
        "100",
        str(seconds),
        "2048",
    ]
    times = json.loads(subprocess.run(client, check=True, capture_output=True, timeout=300).stdout)
    sink.wait(target, 60)
    return statistics.median(times), times[int(len(times) * 0.99)]


def _measure(context: AbstractContextManager[rig.Server], sink: rig.Sink, figures: Figures, messages: int) -> str:
    with context as server:
        rig.source(server.port, messages=100, size=2048, sessions=10)
        sink.wait(sink.messages + 1, 10)
        time.sleep(1)
        with costs.Peak(server.roots) as peak:
            for case, (size, sessions) in CASES.items():
                count = messages if size < 10_000 else messages // 3
                rate, cpu = _throughput(server, sink, size, sessions, count)
                figures.rate.setdefault(case, []).append(rate)
                figures.cpu.setdefault(case, []).append(cpu)
        p50, p99 = _latency(server, sink, 10.0)
        figures.p50.append(p50)
        figures.p99.append(p99)
        figures.memory.append(peak.megabytes)
        if not figures.syncs:
            count = 500
            target = sink.messages + count
            made = rig.syncs(server, lambda: _send_and_wait(server, sink, count, target))
            figures.syncs = made / count
        return server.name


def _send_and_wait(server: rig.Server, sink: rig.Sink, count: int, target: int) -> None:
    rig.source(server.port, messages=count, size=2048, sessions=20)
    sink.wait(target, 120)


def _row(label: str, ours: float, theirs: float, unit: str) -> dict[str, Any]:
    return {"figure": label, "unit": unit, "relaygw": ours, "peer": theirs, "ratio": ours / theirs if theirs else 0.0}


def table(ours: Figures, theirs: Figures) -> list[dict[str, Any]]:
    """One row a figure, with the ratio of medians (relaygw : peer)."""
    middle = statistics.median
    rows = []
    for case in CASES:
        rows.append(_row(f"delivered, {case}, 20 sessions", middle(ours.rate[case]), middle(theirs.rate[case]), "/s"))
        rows.append(_row(f"CPU per message, {case}", middle(ours.cpu[case]), middle(theirs.cpu[case]), "ms"))
    rows.append(_row("connect to 250, p50 at 100/s", middle(ours.p50), middle(theirs.p50), "ms"))
    rows.append(_row("connect to 250, p99 at 100/s", middle(ours.p99), middle(theirs.p99), "ms"))
    rows.append(_row("peak memory (PSS)", middle(ours.memory), middle(theirs.memory), "MB"))
    rows.append(_row("syncs per message, 20 sessions", ours.syncs, theirs.syncs, ""))
    return rows


def relaygw_with_spf(sink_port: int, nameserver: int) -> AbstractContextManager[rig.Server]:
    """It signs for clients it trusts, and looks at their SPF as well."""

    def change(text: str) -> str:
        text, found = re.subn(r'(use = "spf"\n)(?:options = .*\n)?', "\\1options = { trusted = true }\n", text)
        assert found == 1
        return f'{text}\n[dns]\nnameservers = ["127.0.0.1:{nameserver}"]\n'

    return rig.relaygw(sink_port, change=change)


@contextlib.contextmanager
def sides(spf: bool) -> Iterator[tuple[Make, Make]]:
    """How both servers are started."""
    if not spf:
        yield rig.relaygw, rig.postfix
        return
    with names.serve(_ZONE) as nameserver:
        ours = partial(relaygw_with_spf, nameserver=nameserver)
        theirs = partial(rig.postfix, nameserver=nameserver)
        prove(ours, (SIGNED, b"Received-SPF: pass"), size=2048)
        prove(theirs, (SIGNED, b"Received-SPF: Pass"), size=2048)
        yield ours, theirs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spf", action="store_true", help="look at the SPF of every client, too")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--messages", type=int, default=3000, help="per round at 2 KB; a third of it at 100 KB")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    sink, ours, theirs = rig.Sink(), Figures(), Figures()
    try:
        with sides(options.spf) as makes:
            for number in range(options.rounds):
                for make, figures in zip(makes, (ours, theirs), strict=True):
                    name = _measure(make(sink.port), sink, figures, options.messages)
                    rates = ", ".join(f"{case} {figures.rate[case][-1]:.0f}/s" for case in CASES)
                    print(f"round {number + 1}: {name}: {rates}, p99 {figures.p99[-1]:.1f} ms", file=sys.stderr)
    finally:
        sink.stop()
    tables.tell(table(ours, theirs), name, options)


if __name__ == "__main__":
    main()
