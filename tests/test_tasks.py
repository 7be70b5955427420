"""Background tasks: failures reach the journal by name, stop cancels and waits."""

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from relaygw.core.events import Event, TaskFailed
from relaygw.tasks import Tasks


class TasksTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.events: list[Event] = []
        self.tasks = Tasks(self.events.append)

    def test_a_failure_is_journaled_with_name_exception_and_place(self) -> None:
        async def breaks() -> None:
            raise ValueError("no such thing")

        self.tasks.spawn("sweep", breaks())
        (event,) = self.events
        assert isinstance(event, TaskFailed)
        assert event.task == "sweep"
        assert event.error.startswith("ValueError: no such thing at test_tasks.py:")

    def test_stop_cancels_what_waits_and_journals_nothing(self) -> None:
        cancelled: list[object] = []
        waiting: Deferred[None] = Deferred(cancelled.append)
        self.tasks.spawn("waits", waiting)
        self.successResultOf(Deferred.fromCoroutine(self.tasks.stop()))
        assert cancelled == [waiting]
        assert self.events == []

    def test_stop_waits_for_a_task_that_takes_its_time_to_end(self) -> None:
        ending: Deferred[None] = Deferred()

        async def lingers() -> None:
            try:
                await Deferred()
            finally:
                await ending

        self.tasks.spawn("lingers", lingers())
        stopping = Deferred.fromCoroutine(self.tasks.stop())
        self.assertNoResult(stopping)
        ending.callback(None)
        self.successResultOf(stopping)

    def test_after_stop_nothing_new_runs(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.tasks.stop()))
        cancelled: list[object] = []
        self.tasks.spawn("late", Deferred(cancelled.append))
        assert len(cancelled) == 1
