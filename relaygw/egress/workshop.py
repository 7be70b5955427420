"""Threads for short work that OpenSSL does without the interpreter lock, such as a private key's operation.

Every hand-over stops the reactor for a moment, several times as long as it takes to make all but the signature: so what
waits goes over together, and comes back together. A pool for any kind of work costs more on each way than these do.
"""

import math
import queue
import threading
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

BATCH = 8
"""Jobs a thread does before it reports: a compromise between hand-overs and waiting."""

Job = Callable[[], bytes]
_Batch = list[tuple[Job, Deferred[bytes]]]


class Workshop:
    """`reactor` provides IReactorFromThreads. The threads begin with the first job, never before a daemon forks."""

    def __init__(self, reactor: Any, threads: int) -> None:
        self._reactor = reactor
        self._free = threads
        self._waiting: _Batch = []
        self._given: queue.SimpleQueue[_Batch | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"dkim {number}", daemon=True) for number in range(threads)
        ]
        self._started = False

    def do(self, job: Job) -> Deferred[bytes]:
        """What the job makes; what it raises is the failure."""
        answer: Deferred[bytes] = Deferred()
        self._waiting.append((job, answer))
        if self._free:
            self._hand_over()
        return answer

    def stop(self) -> None:
        """Waits for jobs that run; those are short."""
        if self._started:
            for _ in self._threads:
                self._given.put(None)
            for thread in self._threads:
                thread.join()

    def _hand_over(self) -> None:
        """Free threads share what waits. While all are busy more gathers, and one visit serves it all."""
        if not self._started:
            self._started = True
            for thread in self._threads:
                thread.start()
        while self._free and self._waiting:
            share = min(BATCH, math.ceil(len(self._waiting) / self._free))
            batch, self._waiting = self._waiting[:share], self._waiting[share:]
            self._free -= 1
            self._given.put(batch)

    def _run(self) -> None:
        """In a thread. What a job raises is its answer."""
        while (batch := self._given.get()) is not None:
            results: list[tuple[Deferred[bytes], bytes | Exception]] = []
            for job, answer in batch:
                try:
                    results.append((answer, job()))
                except Exception as error:
                    results.append((answer, error))
            self._reactor.callFromThread(self._deliver, results)

    def _deliver(self, results: list[tuple[Deferred[bytes], bytes | Exception]]) -> None:
        self._free += 1
        self._hand_over()
        for answer, result in results:
            if isinstance(result, Exception):
                answer.errback(result)
            else:
                answer.callback(result)
