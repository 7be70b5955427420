"""The proof of durability in one run: `python tests/crash/report.py --report crash-report.md [--cuts N --kills N …]`.

Simulated power cuts, calls that fail one by one, planted bugs, and the real process killed and on a failing disk, side
by side on two cores; then one report. Ends with 1 where anything was lost or repeated, or a planted bug was not found.
Every part follows from the seed, but for how the real process shares its time with others.
"""

import argparse
import json
import os
import platform
import random
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs
from planted import BUGS
from shim import preloaded, scratch

HERE = Path(__file__).parent
WORKERS = 3
"""The killed process often waits: one more than there are cores."""

CUTS_PER_PART = 2500


@attrs.define
class Part:
    """One child: its script and options, and what it told."""

    title: str
    script: str
    options: dict[str, object]
    told: Any = None
    error: str = ""

    def run(self, folder: Path) -> "Part":
        options = [word for key, value in self.options.items() for word in (f"--{key}", str(value))]
        command = [sys.executable, str(HERE / self.script), "--folder", str(folder), *options]
        done = subprocess.run(command, env=self._environment(), capture_output=True, text=True, check=False)
        if done.returncode:
            self.error = done.stderr[-2000:]
        else:
            self.told = json.loads(done.stdout)
        return self

    def _environment(self) -> dict[str, str]:
        environment = preloaded()
        return environment if self.script == "cuts.py" else {**environment, "LD_PRELOAD": ""}


def parts(options: argparse.Namespace) -> list[Part]:
    """The longest first."""
    seed = options.seed
    found = [Part("kills", "kills.py", {"seed": seed, "kills": options.kills})]
    found.append(Part("gateway", "gateways.py", {"seed": seed, "faults": options.lives, "cuts": options.gateway_cuts}))
    many = max(1, round(options.cuts / CUTS_PER_PART))
    for number in range(many):
        found.append(Part("cuts", "cuts.py", {"seed": seed + number, "cuts": -(-options.cuts // many)}))
    found.append(Part("calls", "cuts.py", {"seed": seed, "faults": options.calls}))
    for half in (0, 1):
        found.append(Part("bugs", "cuts.py", {"seed": seed, "bugs": f"{half}/2"}))
    return found


def run_all(todo: list[Part]) -> None:
    with scratch() as folder, ThreadPoolExecutor(WORKERS) as pool:
        running = [pool.submit(part.run, folder / f"{number}") for number, part in enumerate(todo)]
        for future in running:
            part = future.result()
            seconds = part.told.get("seconds", 0.0) if isinstance(part.told, dict) else 0.0
            print(f"{part.title} {part.options}: {'failed' if part.error else f'done, {seconds:.0f} s'}", flush=True)


def total(found: list[Any], key: str) -> int:
    return int(sum(told[key] for told in found))


@attrs.define
class Report:
    """What all parts told, in Markdown; `problems` empty: every promise was kept and every planted bug found."""

    options: argparse.Namespace
    parts: list[Part]
    seconds: float
    problems: list[str] = attrs.field(factory=list)

    def told(self, title: str) -> list[Any]:
        return [part.told for part in self.parts if part.title == title and part.told is not None]

    def judge(self) -> None:
        for part in self.parts:
            if part.error:
                self.problems.append(f"{part.title} {part.options} broke off: {part.error}")
            elif isinstance(part.told, dict):
                self.problems += part.told["problems"]
        bugs = [bug for told in self.told("bugs") for bug in told]
        self.problems += [f"the planted bug {bug['name']} was not found" for bug in bugs if not bug["caught"]]
        if len(bugs) != len(BUGS):
            self.problems.append(f"{len(bugs)} of {len(BUGS)} planted bugs were tried")

    def text(self) -> str:
        verdict = "No loss, no repetition of what was recorded." if not self.problems else "**Promises were broken.**"
        pieces = [
            "# Durability: what was tried, and what came out",
            f"{verdict} {self.seconds:.0f} seconds on {os.cpu_count()} processors; Python {platform.python_version()}, "
            f"SQLite {sqlite3.sqlite_version}. Seed {self.options.seed}; the same again: `{self.command()}`.",
            self.trouble(),
            self.figures(),
            self.meaning(),
            self.bugs(),
        ]
        return "\n\n".join(filter(None, pieces)) + "\n"

    def command(self) -> str:
        chosen = self.options
        return (
            f"python tests/crash/report.py --seed {chosen.seed} --cuts {chosen.cuts} --kills {chosen.kills} "
            f"--calls {chosen.calls} --lives {chosen.lives} --gateway-cuts {chosen.gateway_cuts}"
        )

    def trouble(self) -> str:
        shown = self.problems[:50]
        more = len(self.problems) - len(shown)
        lines = [f"- {problem}" for problem in shown] + ([f"- and {more} more"] if more else [])
        return "## Broken promises\n\n" + "\n".join(lines) if shown else ""

    def figures(self) -> str:
        rows = [("what", "how often"), ("---", "---:")]
        cuts, calls = self.told("cuts"), self.told("calls")
        kills, gateway = self.told("kills"), self.told("gateway")
        fates: dict[str, int] = {}
        for told in cuts:
            for fate, count in told["fates"].items():
                fates[fate] = fates.get(fate, 0) + count
        words = {
            "lost": "nothing unsynced left",
            "kept": "all of it",
            "torn": "any part",
            "last torn": "last write torn",
        }
        rows += [
            ("**simulated power cuts**", f"{total(cuts, 'cuts')}"),
            *((f"… {words[fate]}", f"{count}") for fate, count in sorted(fates.items())),
            ("… lives of the machine they cut", f"{total(cuts, 'lives')}"),
            ("… noted calls of those", f"{total(cuts, 'calls')}"),
            ("… calls that failed by EIO or ENOSPC", f"{total(cuts, 'failed_calls')}"),
            ("… messages checked that had got 250", f"{total(cuts, 'promises')}"),
            ("… after which all that was left was delivered to the end", f"{total(cuts, 'lived')}"),
            ("… after which one message was damaged, too", f"{total(cuts, 'damages')}"),
            ("… deliveries repeated as allowed", f"{total(cuts, 'repeats')}"),
            ("… messages refused and there all the same", f"{total(cuts, 'turned_up')}"),
            ("**lives with the n-th call failing**, each n in turn", f"{total(calls, 'faults')}"),
            ("**kill -9 of the real process under load**", f"{total(kills, 'kills')}"),
            ("… while it was starting", f"{total(kills, 'while starting')}"),
            ("… messages that got 250", f"{total(kills, 'accepted')}"),
            ("… of those arrived, or of others whose 250 was cut off", f"{total(kills, 'arrived')}"),
            ("… deliveries repeated as allowed", f"{total(kills, 'repeats')}"),
            ("**lives of the real process on a failing disk**", f"{total(gateway, 'lives')}"),
            ("… more in which it refused to start", f"{total(gateway, 'not_started')}"),
            ("… calls that failed", f"{total(gateway, 'failed_calls')}"),
            ("… messages that got 250 all the same", f"{total(gateway, 'accepted')}"),
            ("… power cuts of what it had written", f"{total(gateway, 'cuts')}"),
            ("… messages checked that had got 250", f"{total(gateway, 'promises')}"),
            ("**planted bugs found**", f"{self.found()} of {len(BUGS)}"),
            ("**losses, forbidden repetitions**", f"{len(self.problems)}"),
        ]
        return "## Figures\n\n" + "\n".join(f"| {left} | {right} |" for left, right in rows)

    def found(self) -> int:
        return sum(bool(bug["caught"]) for told in self.told("bugs") for bug in told)

    def meaning(self) -> str:
        return (
            "## What was checked\n\n"
            "At each cut the spool is opened on what the disk may hold: all that was synced, and of the rest any "
            "part, writes whole, torn at sectors or gone, in any order, names of files there or not; what a failed "
            "sync was for may never come. Then:\n\n"
            "- what got 250 is there, octet for octet, or has an end;\n"
            "- an outcome that was recorded is still recorded, whole, with its report and only once;\n"
            "- each recipient who has ended was really delivered, reported or removed; each who has not is served "
            "once; nobody is attempted again whose end was recorded, nor twice at once;\n"
            "- a damaged message is set aside and named, and nothing else stops;\n"
            "- the disk being well again, all work goes on by itself.\n\n"
            "A delivery may be repeated where the process died, or the disk failed, between the next hop's reply and "
            "the record of it (RFC 1047 has no cure), and a message that was refused may turn up where only the "
            "answer of the disk was lost: its sender has it still, so that it may come twice, and never not at all."
        )

    def bugs(self) -> str:
        rows = ["| planted bug | found after | by |", "| --- | ---: | --- |"]
        for told in self.told("bugs"):
            for bug in told:
                what = bug["caught"] or "**not found**"
                rows.append(
                    f"| {bug['words']} (`{bug['name']}`) | {bug['cuts']} cuts, {bug['seconds']:.1f} s | {what} |"
                )
        return "## Planted bugs\n\nThe same checks, on a gateway with one part spoiled.\n\n" + "\n".join(rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--report", type=Path, default=Path("crash-report.md"), help="the file to write")
    parser.add_argument("--cuts", type=int, default=10_000, help="simulated power cuts")
    parser.add_argument("--kills", type=int, default=300, help="kill -9 of the real process")
    parser.add_argument("--calls", type=int, default=600, help="simulated lives in which one call fails")
    parser.add_argument("--lives", type=int, default=40, help="lives of the real process on a failing disk")
    parser.add_argument("--gateway-cuts", type=int, default=800, help="power cuts of those")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    begun = time.monotonic()
    todo = parts(options)
    run_all(todo)
    report = Report(options, todo, time.monotonic() - begun)
    report.judge()
    options.report.write_text(report.text(), encoding="utf-8")
    print(f"{len(report.problems)} broken promises; {options.report} after {report.seconds:.0f} s")
    for problem in report.problems[:5]:
        print(f"  {problem}")
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
