"""How much of the processor's time work may take: for tests that hostile input costs little.

What other threads and other processes do does not count, nor what collecting the garbage of thousands of earlier tests
takes. A busy machine makes even that time longer, by cold caches, so the best of some tries tells.
"""

import gc
import sys
import time
from collections.abc import Callable

TRIES = 5


def costs_less_than(seconds: float, work: Callable[[], object]) -> None:
    """Fail where not one of some tries takes less; the first that does is the last. What a try has found out is
    forgotten before the next: each does the whole work."""
    spent: list[float] = []
    while not spent or (spent[-1] >= seconds and len(spent) < TRIES):
        _forget()
        spent.append(_spent(work))
    assert min(spent) < seconds, f"it took {min(spent):.3f} s of the processor's time at least"


def _spent(work: Callable[[], object]) -> float:
    """Of this thread only."""
    collects = gc.isenabled()
    gc.disable()
    try:
        started = time.thread_time()
        work()
        return time.thread_time() - started
    finally:
        if collects:
            gc.enable()


def _forget() -> None:
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "relaygw":
            for value in list(vars(module).values()):
                clear = getattr(value, "cache_clear", None)
                if callable(clear):
                    clear()
