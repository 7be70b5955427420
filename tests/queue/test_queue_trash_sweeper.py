"""The sweeper looks when something may be too old, once at a time, not idly; it ends with the service and outlives
trouble."""

import attrs
import pytest
from queue_kit import START, Kit, make_kit, make_record, run
from twisted.internet.defer import Deferred

from relaygw.core.events import Purged, TaskFailed
from relaygw.core.orders import Order, Verb
from relaygw.core.selection import Selection
from relaygw.interfaces import SpoolError
from relaygw.queue.trash import PAUSE, TROUBLE, Sweeper, Trash
from relaygw.spool.memory import MemorySpool
from relaygw.tasks import Tasks
from relaygw.testing.transport import ScriptedTransport

AGE = 1000.0


class Moody(MemorySpool):
    """Expires at once, fails, or when the test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.failing = False
        self.gate: Deferred[None] | None = None

    async def expire(self, before: float, limit: int) -> tuple[str, ...]:
        self.asked += 1
        if self.failing:
            raise SpoolError("the disk is gone")
        if self.gate is not None:
            await self.gate
        return await super().expire(before, limit)


@attrs.define
class Scene:
    """A queue that stands still, and its sweeper."""

    kit: Kit
    spool: Moody
    sweeper: Sweeper
    made: int = 0

    def remove(self) -> None:
        self.made += 1
        record = make_record(self.kit.clock, "bob@example.com", random=self.made)
        self.kit.commit(record, claimed=False)
        run(self.kit.queue.operations.order_all(Selection(), Order(verb=Verb.REMOVE, keep=True)))

    @property
    def calls(self) -> list[float]:
        """When it will look, from the start."""
        return [round(call.getTime() - START, 3) for call in self.kit.clock.getDelayedCalls()]

    def wait(self, seconds: float) -> None:
        self.kit.clock.advance(seconds)


@pytest.fixture
def scene() -> Scene:
    spool = Moody()
    kit = make_kit(ScriptedTransport(), start=False, spool=spool)
    trash = Trash(
        spool=spool, operations=kit.queue.operations, age=AGE, now=kit.clock.seconds, write_event=kit.events.append
    )
    sweeper = Sweeper(trash, kit.clock, Tasks(kit.events.append).spawn, kit.events.append)
    kit.queue.operations.kept = sweeper.look
    return Scene(kit, spool, sweeper)


def test_before_it_starts_and_after_it_stops_it_does_nothing(scene: Scene) -> None:
    scene.remove()
    assert scene.calls == []
    scene.sweeper.start()
    assert scene.calls == [AGE + PAUSE]
    scene.sweeper.stop()
    scene.sweeper.stop()
    scene.remove()
    scene.sweeper.reconfigure(1.0)
    assert scene.calls == []
    assert scene.spool.asked == 1


def test_it_waits_for_the_oldest_and_for_no_more_than_one_at_a_time(scene: Scene) -> None:
    scene.sweeper.start()
    assert scene.calls == []
    scene.remove()
    scene.wait(100)
    scene.remove()
    assert scene.calls == [AGE]
    scene.wait(AGE - 100)
    assert scene.calls == [AGE + PAUSE]
    scene.wait(PAUSE)
    assert len(scene.kit.told(Purged)) == 1
    assert scene.calls == [AGE + 100 + PAUSE]
    assert scene.spool.asked == 3


def test_when_all_is_gone_it_waits_for_the_next_removal(scene: Scene) -> None:
    scene.sweeper.start()
    for _ in range(2):
        scene.remove()
        scene.wait(AGE)
        scene.wait(PAUSE)
        assert scene.calls == []
    assert len(scene.kit.told(Purged)) == 2


def test_one_that_was_stopped_while_it_swept_begins_no_more(scene: Scene) -> None:
    scene.spool.gate = Deferred()
    scene.remove()
    scene.sweeper.start()
    scene.remove()
    assert scene.calls == []
    scene.sweeper.stop()
    scene.spool.gate.callback(None)
    assert (scene.calls, scene.spool.asked) == ([], 1)


def test_while_it_sweeps_nothing_else_begins_a_sweep(scene: Scene) -> None:
    gate = scene.spool.gate = Deferred()
    scene.sweeper.start()
    scene.remove()
    scene.sweeper.reconfigure(10.0)
    assert (scene.calls, scene.spool.asked) == ([], 1)
    gate.callback(None)
    assert scene.calls == [10.0 + PAUSE]


def test_another_age_takes_the_place_of_the_moment_that_was_waited_for(scene: Scene) -> None:
    scene.remove()
    scene.sweeper.start()
    scene.sweeper.reconfigure(AGE / 2)
    assert scene.calls == [AGE / 2 + PAUSE]
    scene.sweeper.reconfigure(AGE * 2)
    assert scene.calls == [AGE * 2 + PAUSE]


def test_without_an_age_no_more_is_kept_and_with_one_again_it_is(scene: Scene) -> None:
    scene.sweeper.start()
    kept = []
    for age in (0.0, AGE):
        scene.sweeper.reconfigure(age)
        scene.remove()
        kept.append(run(scene.spool.trash_count()))
    assert kept == [0, 1]


def test_trouble_is_told_and_it_looks_again_later(scene: Scene) -> None:
    scene.spool.failing = True
    scene.remove()
    scene.sweeper.start()
    (told,) = scene.kit.told(TaskFailed)
    assert told.task == "sweep the trash"
    assert "the disk is gone" in told.error
    assert scene.calls == [TROUBLE]
    scene.spool.failing = False
    scene.wait(TROUBLE)
    assert scene.calls == [AGE + PAUSE]
    assert len(scene.kit.told(TaskFailed)) == 1
