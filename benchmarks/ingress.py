"""Taking mail: messages per second accepted durably by one relaygw process, by Postfix (smtpd + cleanup), and by
aiosmtpd, which keeps nothing. Nothing is sent on: what is accepted waits.

    python benchmarks/ingress.py [--rounds 3] [--messages 2000] [--json]

relaygw runs with the filters that `relaygw init` writes. Figures are medians of the rounds, taken in
turn; the last column of each row is relaygw : peer. Needs root, for Postfix.
"""

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import attrs
import costs
import rig

from relaygw.testing.ports import free_port

CASES = {
    "2 KB, 20 sessions": (2048, 20),
    "2 KB, 200 sessions": (2048, 200),
    "100 KB, 20 sessions": (102400, 20),
    "100 KB, 200 sessions": (102400, 200),
}

_AIOSMTPD = """
import asyncio, sys
from aiosmtpd.controller import UnthreadedController
class Drop:
    async def handle_DATA(self, server, session, envelope):
        return "250 OK"
loop = asyncio.new_event_loop()
controller = UnthreadedController(Drop(), hostname="127.0.0.1", port=int(sys.argv[1]), loop=loop)
controller.begin()
loop.run_forever()
"""


@attrs.define
class Figures:
    rate: dict[str, list[float]] = attrs.field(factory=dict)
    cpu: dict[str, list[float]] = attrs.field(factory=dict)
    p50: list[float] = attrs.field(factory=list)
    p99: list[float] = attrs.field(factory=list)


@contextlib.contextmanager
def aiosmtpd(_: int) -> Iterator[rig.Server]:
    """A receiver that forgets everything: the ceiling of another Python server's parser."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-c", _AIOSMTPD, str(port)])
    try:
        rig.wait_for_port(port)
        yield rig.Server("aiosmtpd (keeps nothing)", port, [process.pid], None, Path())
    finally:
        process.terminate()
        process.wait()


def _accept(server: rig.Server, size: int, sessions: int, messages: int) -> tuple[float, float]:
    """Messages per second until the client has read every 250, and CPU milliseconds per message."""
    cpu = costs.cpu_seconds(server.roots)
    seconds = rig.source(server.port, messages=messages, size=size, sessions=sessions)
    time.sleep(0.3)
    return messages / seconds, (costs.cpu_seconds(server.roots) - cpu) * 1000 / messages


def _latency(server: rig.Server, rate: float) -> tuple[float, float]:
    """p50 and p99 in ms from the end of data to its answer, at half of the rate it can take."""
    client = [sys.executable, str(Path(__file__).with_name("latency.py")), str(server.port), f"{rate / 2:.0f}", "5"]
    answer = subprocess.run([*client, "2048", "data"], check=True, capture_output=True, timeout=300).stdout
    times = json.loads(answer)
    return statistics.median(times), times[int(len(times) * 0.99)]


def _measure(context: AbstractContextManager[rig.Server], figures: Figures, messages: int) -> str:
    with context as server:
        rig.source(server.port, messages=100, size=2048, sessions=10)
        for case, (size, sessions) in CASES.items():
            count = messages if size < 10_000 else messages // 3
            rate, cpu = _accept(server, size, sessions, count)
            figures.rate.setdefault(case, []).append(rate)
            figures.cpu.setdefault(case, []).append(cpu)
        p50, p99 = _latency(server, min(600.0, figures.rate["2 KB, 20 sessions"][-1]))
        figures.p50.append(p50)
        figures.p99.append(p99)
        return server.name


PEERS: dict[str, Callable[[int], AbstractContextManager[rig.Server]]] = {
    "relaygw": rig.holding_relaygw,
    "Postfix": rig.holding_postfix,
    "aiosmtpd (keeps nothing)": aiosmtpd,
}


def table(all_figures: dict[str, Figures]) -> list[dict[str, Any]]:
    """One row a figure: the median of each server."""
    rows: list[dict[str, Any]] = []
    for case in CASES:
        rates = {name: statistics.median(figures.rate[case]) for name, figures in all_figures.items()}
        rows.append({"figure": f"accepted, {case}", "unit": "/s", **rates})
        cpus = {name: statistics.median(figures.cpu[case]) for name, figures in all_figures.items()}
        rows.append({"figure": f"CPU per message, {case}", "unit": "ms", **cpus})
    for name, pick in (("p50", lambda figures: figures.p50), ("p99", lambda figures: figures.p99)):
        times = {peer: statistics.median(pick(figures)) for peer, figures in all_figures.items()}
        rows.append({"figure": f"end of data to answer, {name} at half load", "unit": "ms", **times})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--messages", type=int, default=2000, help="per case at 2 KB; a third of it at 100 KB")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    all_figures = {name: Figures() for name in PEERS}
    for number in range(options.rounds):
        for name, make in PEERS.items():
            _measure(make(0), all_figures[name], options.messages)
            rates = ", ".join(f"{case} {rates[-1]:.0f}/s" for case, rates in all_figures[name].rate.items())
            print(f"round {number + 1}: {name}: {rates}", file=sys.stderr)
    rows = table(all_figures)
    if options.json:
        print(json.dumps({"rounds": options.rounds, "rows": rows}, indent=2))
        return
    print(f"{'':42}" + "".join(f"{name:>26}" for name in PEERS) + f"{'relaygw : Postfix':>20}")
    for row in rows:
        cells = "".join(f"{row[name]:22.2f} {row['unit']:3}" for name in PEERS)
        print(f"{row['figure']:42}{cells}{row['relaygw'] / row['Postfix']:20.2f}")


if __name__ == "__main__":
    main()
