"""What servers cost, read from Linux's /proc: of the processes they consist of, with everything below these.

CPU is user + system time, ended children included; memory is the proportional set size (PSS), which counts shared
pages once.
"""

import contextlib
import os
import re
import threading
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


def descendants(root: int) -> list[int]:
    """The process and everything below it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                stat = (entry / "stat").read_text()
                parent = int(stat.rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo.extend(children.get(pid, ()))
    return found


def cpu_seconds(roots: list[int]) -> float:
    """User and system seconds so far of these processes, what is below them, and their ended children."""
    total = 0
    for root in roots:
        for pid in descendants(root):
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                total += sum(int(field) for field in fields[11:15])
    return total / _TICK


def pss_megabytes(roots: list[int]) -> float:
    """Proportional set size of these processes and what is below them."""
    total = 0
    for root in roots:
        for pid in descendants(root):
            with contextlib.suppress(OSError):
                match = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)
                total += int(match[1]) if match else 0
    return total / 1024


class Peak:
    """The highest PSS seen while a block runs, sampled four times a second."""

    def __init__(self, roots: list[int]) -> None:
        self.roots, self.megabytes, self._end = roots, 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._end.wait(0.25):
            self.megabytes = max(self.megabytes, pss_megabytes(self.roots))

    def __enter__(self) -> "Peak":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
