"""Parking: ids in turn by owner and destination, within its bounds, and nobody's place taken for good."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relaygw.core.content import BytesContent
from relaygw.core.envelope import Envelope
from relaygw.core.record import Record
from relaygw.queue.bookings import EAGER, LATEST, SOONEST, Bookings
from relaygw.queue.parking import KEPT, OVERHEAD, Parking

A, B = ("mx", "a"), ("mx", "b")


def everything(parking: Parking) -> list[str]:
    found = []
    while (taken := parking.next(lambda destination: True)) is not None:
        found.append(taken[0])
    return found


def test_parked_ids_come_out_by_turn_where_there_is_room() -> None:
    parking = Parking(10)
    for queue_id in ("a1", "a2", "b1"):
        parking.add(queue_id, ("mx", queue_id[0]), "alice")
    assert parking.next(lambda destination: destination == B) == ("b1", B, None)
    assert parking.next(lambda destination: destination == B) is None
    parking.add("b2", B, "alice")
    parking.opened(A)
    assert everything(parking) == ["b2", "a1", "a2"]
    assert len(parking) == 0


def test_owners_take_turns_and_a_newcomer_waits_for_one_other() -> None:
    parking = Parking(100)
    for number in range(20):
        parking.add(f"mailing{number}", ("mx", f"d{number % 5}"), "mailing")
    parking.add("letter", ("mx", "d3"), "alice")
    assert "letter" in everything(parking)[:2]


def test_a_parked_id_can_be_taken_out_and_come_back_elsewhere() -> None:
    parking = Parking(2)
    parking.add("x", A, "alice")
    parking.add("y", A, "bob")
    assert parking.remove("x")
    assert not parking.remove("x")
    parking.add("x", B, "alice")
    assert sorted(everything(parking)) == ["x", "y"]


def test_an_owner_has_his_share_and_others_a_place_at_his_cost() -> None:
    parking = Parking(4)
    assert parking.has_place("mailing")
    assert [parking.add(each, A, "mailing") for each in ("m1", "m2")] == [None, None]
    assert not parking.has_place("mailing")
    assert [parking.add(each, A, each) for each in ("x", "y")] == [None, None]
    assert parking.has_place("z")
    assert parking.add("z", B, "z") == ("m2", "mailing")
    assert len(parking) == 4
    assert not parking.has_place("w"), "nobody holds more than one: the newcomer is no better than they are"
    assert sorted(everything(parking)) == ["m1", "x", "y", "z"]


def test_what_was_taken_out_leaves_no_memory_behind() -> None:
    parking = Parking(4)
    for number in range(1000):
        parking.add(str(number), A, "alice")
        parking.remove(str(number))
    assert parking.waiting(A) <= 5
    parking.add("x", A, "alice")
    assert everything(parking) == ["x"]


def test_all_who_wait_for_a_destination_can_be_sent_home() -> None:
    parking = Parking(10)
    for queue_id in ("a1", "b1", "a2", "a3"):
        parking.add(queue_id, ("mx", queue_id[0]), "alice")
    parking.remove("a2")
    assert parking.send_home(A) == [("a1", "alice"), ("a3", "alice")]
    assert list(parking) == ["b1"]


def test_what_came_with_its_content_is_kept_up_to_a_bound_and_forgotten_with_its_id() -> None:
    def message(size: int) -> tuple[Record, BytesContent]:
        return Record(
            queue_id="x", envelope=Envelope(sender=None, recipients=()), arrived=0.0, recipients=(), size=size
        ), BytesContent(b"x")

    half, rest = message(KEPT // 2), message(KEPT - KEPT // 2 - 2 * OVERHEAD)
    parking = Parking(100)
    parking.add("half", A, "alice", half)
    parking.add("rest", A, "alice", rest)
    parking.add("one more", A, "alice", message(0))
    assert [parking.next(lambda place: True) for _ in range(3)] == [
        ("half", A, half),
        ("rest", A, rest),
        ("one more", A, None),
    ]
    for way in (parking.remove, lambda _: parking.send_home(A), lambda _: parking.clear()):
        parking.add("large", A, "alice", message(KEPT - OVERHEAD))
        way("large")
    parking.add("large", A, "alice", message(KEPT - OVERHEAD))
    taken = parking.next(lambda place: True)
    assert taken is not None
    assert taken[2] is not None


def test_clearing_the_parking_names_all_once() -> None:
    parking = Parking(5)
    parking.add("x", A, "alice")
    parking.add("y", B, "bob")
    assert sorted(parking.clear()) == ["x", "y"]
    assert parking.next(lambda destination: True) is None
    assert parking.has_place("alice")


@given(
    st.integers(1, 6),
    st.lists(
        st.tuples(st.sampled_from(["add", "remove", "next", "home"]), st.integers(0, 12), st.sampled_from("abc")),
        max_size=80,
    ),
)
@settings(max_examples=300, deadline=None)
def test_every_parked_id_comes_out_once_whatever_happens(limit: int, actions: list[tuple[str, int, str]]) -> None:
    parking = Parking(limit)
    inside: dict[str, tuple[str, str]] = {}
    for action, number, word in actions:
        queue_id, destination = str(number), ("mx", word)
        if action == "add" and queue_id not in inside and parking.has_place(word):
            displaced = parking.add(queue_id, destination, word)
            inside[queue_id] = destination
            if displaced is not None:
                del inside[displaced[0]]
        elif action == "remove":
            assert parking.remove(queue_id) == (inside.pop(queue_id, None) is not None)
        elif action == "next":
            taken = parking.next(lambda place, wanted=destination: place == wanted)  # type: ignore[misc]  # bound now
            parking.opened(("mx", "a")), parking.opened(("mx", "b")), parking.opened(("mx", "c"))
            assert (taken is None) == (destination not in inside.values())
            if taken is not None:
                assert inside.pop(taken[0]) == taken[1] == destination
        elif action == "home":
            for home, owner in parking.send_home(destination):
                assert (destination, owner) == (inside.pop(home), word)
        assert set(parking) == inside.keys()
        assert len(parking) <= limit
        assert sum(parking.waiting(("mx", each)) for each in "abc") <= 2 * limit + 1
    assert sorted(everything(parking)) == sorted(inside)


def test_bookings_follow_one_another_at_the_pace_of_the_destination() -> None:
    bookings = Bookings()
    times = [bookings.book(A, 100, 10.0, 1000.0) for _ in range(3)]
    pace = 10.0 * EAGER
    assert times == pytest.approx([1000.0 + 100 / pace + number / pace for number in (1, 2, 3)])
    assert bookings.book(B, 0, 10.0, 1000.0) == 1000.0 + SOONEST
    assert bookings.book(("mx", "slow"), 100, 0.01, 1000.0) == 1000.0 + LATEST
    for number in range(3000):
        bookings.book(("mx", str(number)), 0, 1.0, 1000.0)
    assert len(bookings._ends) <= 1000
