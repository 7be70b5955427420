"""SEARCH evaluated (RFC 3501 6.4.4): a tree of keys becomes one function that judges a message. Pure.

A judgement is True, False, or None where the message's content must be read first; so most messages of most searches
are judged from the index alone. Case does not matter in any text.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from datetime import date

import attrs

from relaygw.mailbox.imap.commands import (
    All,
    And,
    Dated,
    HasFlag,
    HasHeader,
    HasText,
    Not,
    Numbered,
    Or,
    Recent,
    Relation,
    SearchKey,
    Sized,
)
from relaygw.mailbox.imap.dates import arrival_day, sent_day
from relaygw.mailbox.imap.search_text import SearchedMessage


@attrs.frozen(kw_only=True)
class Candidate:
    """What the index says of a message. `flags` in small letters, keywords among them."""

    number: int
    uid: int
    flags: frozenset[str]
    recent: bool
    size: int
    arrived: float


Judgement = bool | None
Judge = Callable[[Candidate, SearchedMessage | None], Judgement]


def compile_search(key: SearchKey, exists: int, uids: Sequence[int]) -> Judge:
    """The function for a key in a mailbox of `exists` messages with these UIDs. With a message it never answers None.

    Raises BadSequence where the key names sequence numbers that do not exist.
    """
    if isinstance(key, Numbered):
        return _numbered(key, exists, uids)
    if isinstance(key, Not):
        return _negated(compile_search(key.key, exists, uids))
    if isinstance(key, Or):
        return _either(compile_search(key.first, exists, uids), compile_search(key.second, exists, uids))
    if isinstance(key, And):
        return _all([compile_search(inner, exists, uids) for inner in key.keys])
    return _leaf(key)


def weight(key: SearchKey) -> int:
    """How many keys there are to look at for one message."""
    if isinstance(key, Not):
        return weight(key.key)
    if isinstance(key, Or):
        return weight(key.first) + weight(key.second)
    return sum(map(weight, key.keys)) if isinstance(key, And) else 1


def _leaf(key: All | HasFlag | Recent | Dated | Sized | HasHeader | HasText) -> Judge:
    if isinstance(key, HasFlag):
        flag, present = key.flag.lower(), key.present
        return lambda candidate, _: (flag in candidate.flags) is present
    if isinstance(key, Recent):
        wanted = key.present
        return lambda candidate, _: candidate.recent is wanted
    if isinstance(key, Sized):
        limit, larger = key.limit, key.larger
        return lambda candidate, _: candidate.size > limit if larger else candidate.size < limit
    if isinstance(key, Dated):
        return _dated(key)
    if isinstance(key, HasHeader):
        return _header(key)
    if isinstance(key, HasText):
        return _text(key)
    return lambda candidate, _: True


def _numbered(key: Numbered, exists: int, uids: Sequence[int]) -> Judge:
    largest = uids[-1] if uids else 0
    found = key.messages.resolved(largest) if key.by_uid else key.messages.existing(exists)
    starts = [first for first, _ in found]

    def judge(candidate: Candidate, _: SearchedMessage | None) -> Judgement:
        number = candidate.uid if key.by_uid else candidate.number
        place = bisect_right(starts, number) - 1
        return place >= 0 and number <= found[place][1]

    return judge


_COMPARISONS: dict[Relation, Callable[[date, date], bool]] = {
    Relation.BEFORE: date.__lt__,
    Relation.ON: date.__eq__,
    Relation.SINCE: date.__ge__,
}


def _dated(key: Dated) -> Judge:
    compare = _COMPARISONS[key.relation]

    def judge(candidate: Candidate, message: SearchedMessage | None) -> Judgement:
        if not key.sent:
            return compare(arrival_day(candidate.arrived), key.day)
        if message is None:
            return None
        day = next(map(sent_day, message.header("date")), None)
        return day is not None and compare(day, key.day)

    return judge


def _header(key: HasHeader) -> Judge:
    wanted = key.text.casefold()

    def judge(_: Candidate, message: SearchedMessage | None) -> Judgement:
        return None if message is None else any(wanted in value for value in message.header(key.name))

    return judge


def _text(key: HasText) -> Judge:
    wanted = key.text.casefold()

    def judge(_: Candidate, message: SearchedMessage | None) -> Judgement:
        if message is None:
            return None
        return wanted in message.body() or (key.headers and wanted in message.head())

    return judge


def _negated(inner: Judge) -> Judge:
    def judge(candidate: Candidate, message: SearchedMessage | None) -> Judgement:
        found = inner(candidate, message)
        return None if found is None else not found

    return judge


def _either(first: Judge, second: Judge) -> Judge:
    def judge(candidate: Candidate, message: SearchedMessage | None) -> Judgement:
        one = first(candidate, message)
        if one:
            return True
        other = second(candidate, message)
        return True if other else None if one is None or other is None else False

    return judge


def _all(inner: list[Judge]) -> Judge:
    def judge(candidate: Candidate, message: SearchedMessage | None) -> Judgement:
        unknown = False
        for one in inner:
            found = one(candidate, message)
            if found is False:
                return False
            unknown = unknown or found is None
        return None if unknown else True

    return judge
