"""A million messages to twenty thousand destinations in virtual time, with the queue's own scheduler.

The code that decides is the code that runs: lanes, turns, health, shaping, rules on replies and the retry schedule of
relaygw.core, with the destinations' answers made up: most are quick, some slow, some dead, some ask for patience, and
some dead ones come back after an hour. There is no disk and no network, and everything that is due waits in the
lanes, without the bound on what the real queue holds in memory.

    python benchmarks/simulation.py [--messages N] [--destinations N] [--concurrency N] [--seed N] [--plot FILE.png]

It prints throughput, waiting times by sender and by kind of destination, and memory; `--plot` also draws them, with
matplotlib (the extra "plot" of this project's package).
"""

from __future__ import annotations

import argparse
import heapq
import importlib.util
import itertools
import random
import resource
import sys
import time
from array import array
from collections.abc import Iterator
from typing import Any

import attrs

from relaygw.config.schema import QueueConfig
from relaygw.core.address import Address
from relaygw.core.envelope import Envelope, Recipient
from relaygw.core.judgement import judge
from relaygw.core.lanes import Lanes
from relaygw.core.lifecycle import begin
from relaygw.core.outcome import Outcome, Status, deferred, from_reply
from relaygw.core.remote_rules import Action
from relaygw.core.reply import Reply
from relaygw.core.shaping import Destination
from relaygw.queue.traffic import make_traffic

HOUR = 3600.0
SAMPLE = 10.0
"""Seconds of virtual time between two looks at the memory and at what is in line."""

NOBODY = Address("somebody", "example.com")
DELIVERED = from_reply(NOBODY, Reply(250, "2.0.0", "ok"), host="mx", address="192.0.2.1")
DEAD = deferred(NOBODY, "4.4.1", "no answer while connecting")
PATIENCE = from_reply(NOBODY, Reply(421, "4.7.0", "too many connections"), host="mx", address="192.0.2.1")
RECORD = begin(queue_id="", envelope=Envelope(sender=NOBODY, recipients=(Recipient(address=NOBODY),)), now=0.0)

KINDS = {"quick": 0.90, "slow": 0.05, "dead": 0.01, "comes back": 0.02, "throttling": 0.02}
SENDERS = {"mailing": 0.6, "lists": 0.3, "people": 0.1}


@attrs.define(eq=False)
class Place:
    """A destination: its kind, how long an attempt takes, and how many it stands at once."""

    key: Destination
    kind: str
    seconds: float
    running: int = 0


@attrs.define(eq=False)
class Run:
    """The whole simulation; messages are numbers, what is known of them stands in arrays."""

    options: argparse.Namespace
    places: list[Place]
    arrived: array[float] = attrs.Factory(lambda: array("d"))
    place: array[int] = attrs.Factory(lambda: array("l"))
    owner: array[int] = attrs.Factory(lambda: array("l"))
    attempts: array[int] = attrs.Factory(lambda: array("b"))
    first: array[float] = attrs.Factory(lambda: array("d"))
    done: array[float] = attrs.Factory(lambda: array("d"))
    made: int = 0
    rests: int = 0
    most_in_line: int = 0
    samples: list[tuple[float, int, float]] = attrs.Factory(list)  # the time, how many are in line, MiB in memory


def main() -> None:
    options = arguments()
    if options.plot and importlib.util.find_spec("matplotlib") is None:
        sys.exit("--plot needs matplotlib, which is not installed: pip install 'relaygw[plot]', or leave --plot out")
    chance = random.Random(options.seed)
    run = Run(options, make_places(options, chance))
    began = time.process_time()
    simulate(run, chance)
    report(run, time.process_time() - began)
    if options.plot:
        plot(run, options.plot)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    for name, default in (("messages", 1_000_000), ("destinations", 20_000), ("concurrency", 1000), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--plot", default="", metavar="FILE")
    parser.epilog = "Arrivals: a mailing within a minute, lists within ten, people within two hours."
    return parser.parse_args()


def make_places(options: argparse.Namespace, chance: random.Random) -> list[Place]:
    kinds = chance.choices(list(KINDS), list(KINDS.values()), k=options.destinations)
    return [Place(("mx", f"d{number}.example"), kind, duration(kind, chance)) for number, kind in enumerate(kinds)]


def duration(kind: str, chance: random.Random) -> float:
    """Seconds of one attempt."""
    match kind:
        case "slow":
            return chance.uniform(5.0, 20.0)
        case "dead" | "comes back":
            return 30.0
        case _:
            return chance.uniform(0.1, 0.6)


def arrivals(run: Run, chance: random.Random) -> Iterator[tuple[float, int]]:
    """All messages in order of time: the mailing within a minute, lists within ten, people within two hours.

    Some destinations get most of the mail, as they do."""
    number = run.options.messages
    senders = chance.choices(list(SENDERS), list(SENDERS.values()), k=number)
    spans = {"mailing": 60.0, "lists": 600.0, "people": 2 * HOUR}
    weights = list(itertools.accumulate(1.0 / (rank + 10) for rank in range(len(run.places))))
    goals = chance.choices(range(len(run.places)), cum_weights=weights, k=number)
    owners = {"mailing": lambda: 0, "lists": lambda: chance.randint(1, 5), "people": lambda: chance.randint(6, 1005)}
    times = sorted((chance.uniform(0.0, spans[sender]), at) for at, sender in enumerate(senders))
    for moment, at in times:
        run.arrived.append(moment)
        run.place.append(goals[at])
        run.owner.append(owners[senders[at]]())
        run.attempts.append(0)
        run.first.append(-1.0)
        run.done.append(-1.0)
        yield moment, len(run.arrived) - 1


def simulate(run: Run, chance: random.Random) -> None:
    """Arrivals, ends of attempts, retries and the lanes' own alarms, in order of time."""
    queue = QueueConfig(concurrency=run.options.concurrency, expire=12 * HOUR)
    traffic = make_traffic(queue)
    lanes: Lanes[int] = Lanes(queue.concurrency, traffic.shape)
    ends: list[tuple[float, int, Outcome]] = []
    due: list[tuple[float, int]] = []
    coming = arrivals(run, chance)
    next_arrival = next(coming, None)
    in_line = 0
    next_sample = 0.0

    def start(messages: list[int], now: float) -> None:
        for at in messages:
            place = run.places[run.place[at]]
            place.running += 1
            run.attempts[at] = min(run.attempts[at] + 1, 127)
            if run.first[at] < 0:
                run.first[at] = now
            run.made += 1
            heapq.heappush(ends, (now + place.seconds, at, answer(place, now)))

    def offer(at: int, now: float) -> int:
        place = run.places[run.place[at]]
        until, _ = lanes.resting(place.key, now)
        if until > now:
            heapq.heappush(due, (until + (until - now) * 0.1 * chance.random(), at))
            return 0
        if lanes.enter(place.key, str(run.owner[at]), at, now):
            start([at], now)
            return 0
        return 1

    while True:
        moments = (
            next_arrival[0] if next_arrival else float("inf"),
            ends[0][0] if ends else float("inf"),
            due[0][0] if due else float("inf"),
            lanes.next_wake(),
        )
        now = min(moments)
        if now == float("inf"):
            return
        if now >= next_sample:
            run.samples.append((now, in_line, memory()))
            next_sample = now + SAMPLE
        if now == moments[1]:
            _, at, outcome = heapq.heappop(ends)
            place = run.places[run.place[at]]
            place.running -= 1
            judgement = judge(place.key[1], ((0, outcome),), traffic.rules)
            rests = False
            if judgement.unreachable:
                rests = lanes.unreachable(place.key, now, judgement.unreachable) > 0
            elif judgement.answered:
                lanes.answered(place.key, now, place.seconds)
            if judgement.advice is not None:
                lanes.follow(place.key, now, judgement.advice)
                rests = rests or judgement.advice.action is Action.REST
            started = lanes.leave(place.key, str(run.owner[at]), now)
            in_line -= len(started)
            start(started, now)
            if rests:
                run.rests += 1
                home = lanes.send_home(place.key)
                in_line -= len(home)
                for each in home:
                    offer(each, now)
            settle(run, traffic.retries.base, at, outcome, now, due, chance)
        elif now == moments[0] and next_arrival is not None:
            in_line += offer(next_arrival[1], now)
            next_arrival = next(coming, None)
        elif now == moments[2]:
            _, at = heapq.heappop(due)
            if now >= run.arrived[at] + queue.expire:
                run.done[at] = float("inf")  # given back to its sender
            else:
                in_line += offer(at, now)
        else:
            started = lanes.wake(now)
            in_line -= len(started)
            start(started, now)
        run.most_in_line = max(run.most_in_line, in_line)


def answer(place: Place, now: float) -> Outcome:
    if place.kind == "dead" or (place.kind == "comes back" and now < HOUR):
        return DEAD
    if place.kind == "comes back":
        place.seconds = 0.3
    return PATIENCE if place.kind == "throttling" and place.running > 3 else DELIVERED


def settle(
    run: Run, schedule: Any, at: int, outcome: Outcome, now: float, due: list[tuple[float, int]], chance: random.Random
) -> None:
    if outcome.status is Status.DELIVERED:
        run.done[at] = now
        return
    until = min(now + schedule.wait(run.attempts[at], chance.random()), run.arrived[at] + schedule.expire)
    heapq.heappush(due, (until, at))


def groups(run: Run) -> Iterator[tuple[str, list[int]]]:
    """The messages by sender, and those to destinations that answer by kind."""
    senders = {"mailing (1 sender)": range(1), "lists (5 senders)": range(1, 6), "people (1000)": range(6, 1006)}
    for name, owners in senders.items():
        yield name, [at for at, owner in enumerate(run.owner) if owner in owners and _answers(run, at)]
    yield (
        "people to quick destinations",
        [at for at, owner in enumerate(run.owner) if owner > 5 and run.places[run.place[at]].kind == "quick"],
    )
    for kind in KINDS:
        yield f"to {kind}", [at for at, place in enumerate(run.place) if run.places[place].kind == kind]


def _answers(run: Run, at: int) -> bool:
    return run.places[run.place[at]].kind in ("quick", "slow")


def waits(run: Run, messages: list[int]) -> list[float]:
    """Seconds from arrival to the start of the first attempt."""
    return sorted(run.first[at] - run.arrived[at] for at in messages if run.first[at] >= 0)


def memory() -> float:
    """MiB of this process now, as far as the system tells."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * resource.getpagesize() / 2**20
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def report(run: Run, seconds: float) -> None:
    number = len(run.arrived)
    delivered = sorted(done for done in run.done if 0 <= done < float("inf"))
    busy = delivered[int(len(delivered) * 0.9)] if delivered else 0.0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{number} messages to {len(run.places)} destinations, at most {run.options.concurrency} attempts at once")
    print(f"delivered {len(delivered)}, given back {sum(done == float('inf') for done in run.done)}")
    print(f"attempts {run.made}, {run.made / number:.2f} a message; rests begun {run.rests}")
    print(f"nine tenths delivered after {busy:.0f} s: {0.9 * len(delivered) / max(busy, 1):.0f} a second")
    print(f"most in line {run.most_in_line}; memory {most:.0f} MiB in all")
    print(f"processor time {seconds:.1f} s, {seconds / max(run.made, 1) * 1e6:.1f} µs an attempt\n")
    print(f"{'wait for the first attempt, seconds':36}{'messages':>10}{'median':>10}{'p99':>10}{'longest':>10}")
    for name, messages in groups(run):
        found = waits(run, messages) or [0.0]
        figures = (found[len(found) // 2], found[int(len(found) * 0.99)], found[-1])
        print(f"{name:36}{len(messages):10}" + "".join(f"{figure:10.1f}" for figure in figures))


def plot(run: Run, path: str) -> None:
    """Throughput, waiting times, what is in line and memory, in one picture."""
    import matplotlib

    matplotlib.use("Agg")  # a file, and no window
    from matplotlib import pyplot

    figure, ((rates, waiting), (line, size)) = pyplot.subplots(2, 2, figsize=(13, 8.5), layout="constrained")
    options = run.options
    figure.suptitle(
        f"{len(run.arrived):,} messages to {len(run.places):,} destinations, at most {options.concurrency:,} attempts"
    )
    done = [moment for moment in run.done if 0 <= moment < float("inf")]
    end = max(done, default=0.0)
    _plot_rates(rates, run, done, end)
    _plot_waits(waiting, run)
    shown = [sample for sample in run.samples if sample[0] <= end]
    minutes = [moment / 60 for moment, _, _ in shown]
    line.fill_between(minutes, [number for _, number, _ in shown], step="post", alpha=0.5)
    line.set(xlabel="minutes", ylabel="messages", title="In line, in memory", ylim=(0, None))
    size.plot(minutes, [found for _, _, found in shown])
    size.set(xlabel="minutes", ylabel="MiB", title="Memory of the simulation, messages and all", ylim=(0, None))
    for axes in (rates, waiting, line, size):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)
    print(f"\nplotted in {path}")


def _plot_rates(axes: Any, run: Run, done: list[float], end: float) -> None:
    """What came and what was delivered a second, minute by minute; rare ones are seen beside many."""
    edges = [minute * 60.0 for minute in range(int(end / 60) + 2)]
    for moments, name in ((run.arrived, "came"), (done, "delivered")):
        counts = [0] * (len(edges) - 1)
        for moment in moments:
            if moment < edges[-1]:
                counts[int(moment / 60)] += 1
        axes.stairs([count / 60 for count in counts], [edge / 60 for edge in edges], label=name, linewidth=1.4)
    axes.set(xlabel="minutes", ylabel="messages a second", title="Throughput", yscale="log")
    axes.legend()


def _plot_waits(axes: Any, run: Run) -> None:
    """Which part of each kind of sender's messages was attempted within how long; 0.01 s stands for at once."""
    for name, messages in itertools.islice(groups(run), 4):
        found = waits(run, messages)
        parts = [(at + 1) / len(found) for at in range(len(found))]
        axes.plot([max(wait, 0.01) for wait in found], parts, label=name, linewidth=2)
    axes.set(xlabel="seconds to the first attempt", ylabel="part of messages", xscale="log", ylim=(0, 1.02))
    axes.set_title("Waiting, to destinations that answer")
    axes.legend(loc="center left")


if __name__ == "__main__":
    main()
