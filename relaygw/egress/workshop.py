"""Threads for short work that OpenSSL does without the interpreter lock, such as a private key's operation.

Every hand-over stops the reactor for a moment, several times as long as it takes to make all but the signature: so what
waits goes over together, and comes back together. A pool for any kind of work costs more on each way than these do.
"""

import math
import queue
import threading
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, execute

BATCH = 8
"""Jobs a thread does before it reports: a compromise between hand-overs and waiting."""

Job = Callable[[], bytes]
_Batch = list[tuple[Job, Deferred[bytes]]]
_Results = list[tuple[Deferred[bytes], bytes | BaseException]]


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
        self._started = self._stopped = False

    def do(self, job: Job) -> Deferred[bytes]:
        """What the job makes; what it raises is the failure. After the stop whoever is late has it done at once."""
        if self._stopped:
            return execute(job)
        answer: Deferred[bytes] = Deferred()
        self._waiting.append((job, answer))
        if self._free:
            self._hand_over()
        return answer

    def stop(self) -> None:
        """Waits for jobs that run, and does what is left: those are short, and somebody waits for each of them."""
        if self._started and not self._stopped:
            for _ in self._threads:
                self._given.put(None)
            for thread in self._threads:
                thread.join()
        self._stopped = True
        left, self._waiting = self._waiting, []
        _answer(_done(left))

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
            self._reactor.callFromThread(self._deliver, _done(batch))

    def _deliver(self, results: _Results) -> None:
        self._free += 1
        self._hand_over()
        _answer(results)


def _done(batch: _Batch) -> _Results:
    results: _Results = []
    for job, answer in batch:
        try:
            results.append((answer, job()))
        except BaseException as error:  # a library's panic is none of Exception, and would end the thread
            results.append((answer, error))
    return results


def _answer(results: _Results) -> None:
    for answer, result in results:
        if isinstance(result, BaseException):
            answer.errback(result)
        else:
            answer.callback(result)
