"""Sequence sets (RFC 3501 9 sequence-set): `1,3:5,7:*` as a value, resolved against what a mailbox holds.

Nothing here expands a range into its numbers before it is known which numbers exist, so `1:4294967295` costs nothing.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

import attrs

LARGEST = 2**32 - 1
"""The largest number the grammar allows (nz-number)."""

MAX_RANGES = 12_000
"""Different ranges in one set: hardly more fit into a command line, unless they are next to each other."""

STAR = 0
"""Stands for `*` in a range: the largest number in use. No message has it: numbers start at 1."""


class BadSequence(ValueError):
    """Not a sequence set, or one that names messages the session has not been told of."""


@attrs.frozen
class SequenceSet:
    """Ranges as the client wrote them, each with two ends; STAR is the largest number in use."""

    ranges: tuple[tuple[int, int], ...]

    def resolved(self, largest: int) -> list[tuple[int, int]]:
        """Ranges in rising order, not overlapping, with `*` replaced by `largest`."""
        ends = ((first or largest, last or largest) for first, last in self.ranges)
        return _merged((first, last) if first <= last else (last, first) for first, last in ends)

    def numbers(self, exists: int) -> list[int]:
        """The sequence numbers meant in a mailbox of `exists` messages; BadSequence where one does not exist."""
        return [number for first, last in self.existing(exists) for number in range(first, last + 1)]

    def existing(self, exists: int) -> list[tuple[int, int]]:
        """The same as ranges, in rising order."""
        if not exists and all(STAR in ends for ends in self.ranges):
            return []
        found = self.resolved(exists)
        if not exists or found[-1][1] > exists:
            raise BadSequence(f"message number {found[-1][1] or 1} does not exist")
        return found

    def uids(self, known: Sequence[int]) -> list[int]:
        """Those of `known` (rising) that are meant. UIDs that do not exist are no error (RFC 3501 6.4.8)."""
        if not known:
            return []
        found: list[int] = []
        for first, last in self.resolved(known[-1]):
            found.extend(known[bisect_left(known, first) : bisect_right(known, last)])
        return found


def parse_sequence(text: bytes) -> SequenceSet:
    """The value of a sequence set; BadSequence for anything else."""
    parts = dict.fromkeys(text.split(b","))
    if len(parts) > MAX_RANGES:
        raise BadSequence("too many ranges in a sequence set")
    return SequenceSet(tuple(map(_range, parts)))


def _range(part: bytes) -> tuple[int, int]:
    first, colon, last = part.partition(b":")
    start = _number(first)
    return (start, _number(last)) if colon else (start, start)


def _number(text: bytes) -> int:
    if text == b"*":
        return STAR
    if not text.isdigit() or len(text) > 10 or not 1 <= int(text) <= LARGEST:
        raise BadSequence("a sequence set is made of numbers from 1, of : and of *")
    return int(text)


def _merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged


def format_sequence(numbers: Iterable[int]) -> bytes:
    """The shortest sequence set of rising numbers, such as b"1:3,7"."""
    ranges = _merged((number, number) for number in numbers)
    return b",".join(b"%d" % first if first == last else b"%d:%d" % (first, last) for first, last in ranges)
