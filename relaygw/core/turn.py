"""Whose turn it is among hosts with priorities and weights, as RFC 2782 has it for SRV records. Pure: chance is an
argument.
"""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import attrs

T = TypeVar("T")


@attrs.frozen
class Weighted(Generic[T]):
    """Lower priorities come first; among equal ones a weight is the share of turns that begin there."""

    item: T
    priority: int = 1
    weight: int = 1


def in_turn(entries: Sequence[Weighted[T]], chance: Callable[[], float]) -> list[T]:
    """All of them, in the order to try them this time; `chance` answers a number in [0, 1)."""
    if len(entries) == 1:
        return [entries[0].item]
    ordered: list[T] = []
    for priority in sorted({entry.priority for entry in entries}):
        left = [entry for entry in entries if entry.priority == priority]
        while left:
            chosen = _drawn(left, chance())
            left.remove(chosen)
            ordered.append(chosen.item)
    return ordered


def _drawn(entries: Sequence[Weighted[T]], chance: float) -> Weighted[T]:
    point = chance * sum(entry.weight for entry in entries)
    for entry in entries:
        point -= entry.weight
        if point < 0:
            return entry
    return entries[-1]
