"""What was promised and what happened, apart from what any disk says; and whether a disk agrees with it.

Facts are learned in the order in which they became true. The story of a message is the versions of its record that
were handed to the spool, up to which of them the spool has said "stored", and what next hops and operators did. After
a power cut the spool must hold one of the versions since, whole, with its reports and none of later ones.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from relaygw.core.lifecycle import Kind, tells
from relaygw.core.record import Progress, Record

Added = tuple[tuple[Record, bytes], ...]
"""The messages a settlement adds: record and content."""


@attrs.define(eq=False)
class Version:
    """`reports` are the ids of the reports handed in with it: one tuple for each time it was handed in. `failed`: the
    spool has said that it is not stored, which it is all the same, as a whole, where only the answer was lost."""

    record: Record
    reports: list[tuple[str, ...]] = attrs.field(factory=lambda: [()])
    failed: bool = False


@attrs.define(eq=False)
class Story:
    """One message. `stored` is the last version known to be stored (-1: none), `accepted`: 250 was read.

    `taken` counts by recipient how often next hops took the message, `ordered` the removals by operators; `begun`: the
    queue has worked on it, so that it was in the spool.
    """

    content: bytes
    versions: list[Version]
    stored: int = -1
    refused: bool = False
    begun: bool = False
    ordered: bool = False
    taken: Counter[int] = attrs.field(factory=Counter)
    reports: set[str] = attrs.field(factory=set)

    def number(self, record: Record) -> int:
        """Which version it is."""
        return max(number for number, version in enumerate(self.versions) if version.record == record)

    def possible(self, found: Record | None) -> list[int]:
        """The versions that can be what a spool holds. One that ended the message, and was said to have failed, leaves
        nothing for later ones to change."""
        first = max(self.stored, 0)
        return [
            number
            for number, version in enumerate(self.versions)
            if _matches(version.record, found) and (number >= first or (found is None and version.failed))
        ]

    def ended(self, position: int) -> bool:
        """Whether the end of this recipient is known to be stored."""
        if self.stored < 0:
            return False
        return self.versions[self.stored].record.recipients[position].progress is not Progress.WAITING


@attrs.frozen
class Found:
    """What a spool holds. `strange` are complaints of the spool itself: damages, files too many or too few; `trash` are
    the contents of what operators removed, None: it was not looked."""

    records: Mapping[str, Record]
    contents: Mapping[str, bytes]
    strange: Sequence[str] = ()
    trash: Mapping[str, bytes] | None = None


@attrs.define(eq=False)
class Truth:
    """`repeats` counts takings by next hops that were not recorded before: allowed. `turned_up`: messages that were
    refused and are there after a power cut all the same, as after any lost answer."""

    stories: dict[str, Story] = attrs.field(factory=dict)
    gone: set[str] = attrs.field(factory=set)
    repeats: int = 0
    turned_up: int = 0

    def learn(self, fact: tuple[Any, ...]) -> None:
        """What is told of messages that nobody sent is passed over here: they are found in the spool."""
        name, subject = fact[:2]
        queue_id = subject if isinstance(subject, str) else subject.queue_id
        if name == "offered" or queue_id in self.stories:
            getattr(self, f"_{name}")(*fact[1:])

    # -- facts ----------------------------------------------------------------------------------------------------

    def _offered(self, record: Record, content: bytes) -> None:
        """A client has ended its data."""
        self.stories[record.queue_id] = Story(content, [Version(record)])

    def _accepted(self, queue_id: str) -> None:
        """It reads 250."""
        self.stories[queue_id].stored = 0

    def _refused(self, queue_id: str) -> None:
        self.stories[queue_id].refused = True

    def _submitted(self, record: Record, added: Added) -> None:
        """A version is handed to the spool."""
        story = self.stories[record.queue_id]
        story.begun = True
        ids = tuple(new.queue_id for new, _ in added)
        story.reports.update(ids)
        for new, content in added:
            self.stories.setdefault(new.queue_id, Story(content, [Version(new)]))
        last = story.versions[-1]
        if last.record != record or (story.stored == len(story.versions) - 1 and ids):
            story.versions.append(Version(record, [ids]))
        elif story.stored < len(story.versions) - 1:
            last.reports.append(ids)

    def _failed(self, record: Record) -> None:
        """The spool says that the version is not stored."""
        story = self.stories[record.queue_id]
        version = story.versions[story.number(record)]
        version.failed = True

    def _stored(self, record: Record, added: tuple[str, ...]) -> None:
        """The spool says that the version is stored."""
        story = self.stories[record.queue_id]
        story.stored = max(story.stored, story.number(record))
        story.versions[story.stored].failed = False
        for new in added:
            self.stories[new].stored = max(0, self.stories[new].stored)

    def _taken(self, queue_id: str, position: int) -> None:
        """A next hop has answered 250, or its 250 was lost on the way."""
        story = self.stories[queue_id]
        story.begun = True
        self.repeats += story.taken[position] > 0
        story.taken[position] += 1

    def _ordered(self, queue_id: str) -> None:
        """An operator asks for the removal."""
        self.stories[queue_id].ordered = True

    # -- judgement ------------------------------------------------------------------------------------------------

    def problems(self, found: Found, *, cut: bool = True) -> list[str]:
        """What is wrong with what a spool holds; `cut` False: it was not cut, so what was refused must be gone."""
        told = list(found.strange)
        for queue_id, record in found.records.items():
            story = self.stories.get(queue_id)
            if story is None:
                told.append(f"{queue_id} came back" if queue_id in self.gone else f"{queue_id} was never sent")
            elif found.contents.get(queue_id) != story.content:
                told.append(f"{queue_id}: the content is not what came in")
            elif story.refused:
                self.turned_up += 1
                told += [] if cut else [f"{queue_id} was refused and is there"]
            del record
        for queue_id, story in self.stories.items():
            told += [f"{queue_id}: {trouble}" for trouble in self._trouble(queue_id, story, found)]
        return told

    def _trouble(self, queue_id: str, story: Story, found: Found) -> list[str]:
        record = found.records.get(queue_id)
        if record is None and story.stored < 0 and not story.begun:
            return []  # no 250, no message
        possible = story.possible(record)
        if not possible:
            return [_misfit(story, record)]
        wrong = [self._wrong_reports(story, number, found) for number in possible]
        if all(wrong):
            return wrong[0]
        return self._unended(story, record, found) + _unkept(queue_id, story, found)

    def _was_there(self, queue_id: str, found: Found) -> bool:
        return queue_id in found.records or self.stories[queue_id].begun or queue_id in self.gone

    def _wrong_reports(self, story: Story, number: int, found: Found) -> list[str]:
        """A version and its reports are stored as a whole; each report once."""
        for place, version in enumerate(story.versions):
            there = {each for ids in version.reports for each in ids if self._was_there(each, found)}
            if place < number and version.failed and not there:
                continue
            if place <= number and there not in [set(ids) for ids in version.reports]:
                more = len(there) > max(map(len, version.reports))
                return [f"version {place} is stored {'and reported twice' if more else 'without its report'}"]
            if place > number and there:
                return [f"version {place} is not stored, and its report is"]
        return []

    def _unended(self, story: Story, record: Record | None, found: Found) -> list[str]:
        """Recipients that are said to have ended, and did not really."""
        first = story.versions[0].record
        states = record.recipients if record is not None else (None,) * len(first.recipients)
        told = []
        for position, state in enumerate(states):
            reached = {
                Progress.DELIVERED: story.taken[position] > 0,
                Progress.REPORTED: self._is_reported(story, position, found),
                Progress.REMOVED: story.ordered,
            }
            before = first.recipients[position]
            if state is None:
                ended = any(reached.values()) or (before.progress is not Progress.WAITING and not before.owed)
            else:
                ended = state.progress is before.progress or state.owed or reached.get(state.progress, True)
            if not ended:
                what = "gone" if state is None else state.progress.value
                told.append(f"recipient {position} is {what}, and nothing has become of it")
        return told

    def _is_reported(self, story: Story, position: int, found: Found) -> bool:
        record = story.versions[0].record
        state = record.recipients[position]
        if not tells(record, state, Kind.FAILURE):
            return True
        name = str(state.address).encode()
        contents = [self.stories[each].content for each in story.reports if self._was_there(each, found)]
        return any(name in content and b"Action: failed" in content for content in contents)

    # -- going on -------------------------------------------------------------------------------------------------

    def after_cut(self, found: Found) -> "Truth":
        """What is known when life goes on with what the disk held."""
        stories = {}
        for queue_id, old in self.stories.items():
            record = found.records.get(queue_id)
            if record is not None:
                now = [Version(record)]
                taken = Counter(old.taken)
                stories[queue_id] = Story(old.content, now, 0, begun=old.begun, taken=taken, ordered=old.ordered)
        gone = self.gone | (self.stories.keys() - stories.keys())
        return Truth(stories, gone, self.repeats, self.turned_up)


def _matches(version: Record, found: Record | None) -> bool:
    return version.finished if found is None else version == found


def _unkept(queue_id: str, story: Story, found: Found) -> list[str]:
    """What an operator removed can be had back."""
    if found.trash is None or story.stored <= 0 or _is_removed(story.versions[0].record):
        return []
    if not _is_removed(story.versions[story.stored].record) or found.trash.get(queue_id) == story.content:
        return []
    return ["it was removed, and is not in the trash as it was"]


def _is_removed(record: Record) -> bool:
    return any(state.progress is Progress.REMOVED for state in record.recipients)


def _misfit(story: Story, record: Record | None) -> str:
    if record is None:
        return "accepted, and gone"
    older = [version.record for version in story.versions[: max(story.stored, 0)]]
    if any(version == record for version in older):
        return "an outcome that was recorded is forgotten"
    if any(version.record.finished for version in story.versions):
        return "it was finished, and is there as it never was"
    return "the record is none that was handed in"


Check = Callable[[Found], list[str]]
