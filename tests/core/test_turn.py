"""Hosts by priority and weight: every host once, the lower priority first, shares as the weights say."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from relaygw.core.turn import Weighted, in_turn

ENTRIES = st.lists(st.builds(Weighted, st.integers(), st.integers(1, 3), st.integers(1, 9)), max_size=6)


@given(ENTRIES, st.floats(0, 1, exclude_max=True))
def test_all_come_once_in_the_order_of_their_priorities(entries: list[Weighted[int]], chance: float) -> None:
    items = [Weighted((number, entry.priority), entry.priority, entry.weight) for number, entry in enumerate(entries)]
    found = in_turn(items, lambda: chance)
    assert sorted(found) == [entry.item for entry in items]
    assert [priority for _, priority in found] == sorted(priority for _, priority in found)


def test_the_first_is_drawn_by_weight() -> None:
    entries = [Weighted("a", 1, 3), Weighted("b", 1, 1), Weighted("c", 2, 100)]
    draws = Counter(in_turn(entries, lambda number=number: number / 100)[0] for number in range(100))
    assert draws == {"a": 75, "b": 25}
