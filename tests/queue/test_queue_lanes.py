"""Lanes and parking: pure bookkeeping that never exceeds a limit, forgets nobody and lets everyone take a turn."""

from hypothesis import given, settings
from hypothesis import strategies as st

from relaygw.queue.lanes import Lanes
from relaygw.queue.parking import Parking


def test_one_more_than_a_destination_may_have_waits() -> None:
    lanes: Lanes[str] = Lanes(10, 2)
    assert [lanes.enter("a", job) for job in "xyz"] == [True, True, False]
    assert (lanes.at_work("a"), lanes.in_line("a")) == (2, 1)
    assert lanes.leave("a") == ["z"]


def test_one_more_than_the_total_waits_whatever_its_destination() -> None:
    lanes: Lanes[str] = Lanes(2, 2)
    assert [lanes.enter(destination, destination) for destination in "abc"] == [True, True, False]
    assert lanes.leave("a") == ["c"]


def test_a_job_does_not_overtake_its_own_lane() -> None:
    lanes: Lanes[str] = Lanes(10, 1)
    assert lanes.enter("a", "1")
    assert not lanes.enter("a", "2")
    assert not lanes.enter("a", "3")
    assert lanes.leave("a") == ["2"]
    assert not lanes.enter("a", "4")
    assert [lanes.leave("a"), lanes.leave("a"), lanes.leave("a")] == [["3"], ["4"], []]


def test_a_smaller_limit_applies_as_jobs_end_and_a_larger_one_starts_more() -> None:
    lanes: Lanes[str] = Lanes(10, 3)
    for job in "12345":
        lanes.enter("a", job)
    lanes.each = 1
    assert [lanes.leave("a"), lanes.leave("a"), lanes.leave("a")] == [[], [], ["4"]]
    lanes.each = 3
    assert lanes.leave("a") == ["5"]


def test_those_in_line_can_be_sent_home() -> None:
    lanes: Lanes[str] = Lanes(1, 1)
    lanes.enter("a", "1")
    lanes.enter("a", "2")
    lanes.enter("b", "3")
    assert sorted(lanes.clear()) == ["2", "3"]
    assert lanes.leave("a") == []


@given(st.integers(1, 5), st.integers(1, 4), st.lists(st.tuples(st.booleans(), st.sampled_from("abcd")), max_size=80))
@settings(max_examples=300, deadline=None)
def test_no_limit_is_broken_no_room_is_wasted_and_all_get_their_turn(
    total: int, each: int, actions: list[tuple[bool, str]]
) -> None:
    lanes: Lanes[int] = Lanes(total, each)
    where: dict[int, str] = {}
    running: list[int] = []
    waiting: list[int] = []
    for number, (enters, destination) in enumerate(actions):
        if enters:
            where[number] = destination
            (running if lanes.enter(destination, number) else waiting).append(number)
        elif running:
            started = lanes.leave(where[running.pop(0)])
            for job in started:
                assert job == next(other for other in waiting if where[other] == where[job]), "overtaken"
                waiting.remove(job)
                running.append(job)
        counts = {name: sum(where[job] == name for job in running) for name in "abcd"}
        assert lanes.running == len(running) <= total
        assert all(lanes.at_work(name) == counts[name] <= each for name in "abcd")
        if len(running) < total:
            assert all(counts[where[job]] == each for job in waiting), "somebody waits although there is room"
    while running:
        started = lanes.leave(where[running.pop(0)])
        waiting = [job for job in waiting if job not in started]
        running += started
    assert waiting == []


def test_parked_ids_come_out_by_turn_where_there_is_room() -> None:
    parking = Parking(10)
    for queue_id in ("a1", "a2", "b1"):
        parking.add(queue_id, ("mx", queue_id[0]))
    assert parking.next(lambda destination: destination[1] == "b") == ("b1", ("mx", "b"))
    assert parking.next(lambda destination: destination[1] == "b") is None
    parking.add("b2", ("mx", "b"))
    out = [parking.next(lambda destination: True) for _ in range(4)]
    assert [found and found[0] for found in out] == ["a1", "b2", "a2", None]
    assert len(parking) == 0


def test_a_parked_id_can_be_taken_out_and_come_back_elsewhere() -> None:
    parking = Parking(2)
    parking.add("x", ("mx", "a"))
    parking.add("y", ("mx", "a"))
    assert parking.full
    assert parking.remove("x")
    assert not parking.remove("x")
    assert not parking.full
    parking.add("x", ("mx", "b"))
    assert [parking.next(lambda destination: True) for _ in range(3)] == [("y", ("mx", "a")), ("x", ("mx", "b")), None]


def test_clearing_the_parking_names_all_once() -> None:
    parking = Parking(5)
    parking.add("x", ("mx", "a"))
    parking.add("y", ("mx", "b"))
    assert sorted(parking.clear()) == ["x", "y"]
    assert parking.next(lambda destination: True) is None
