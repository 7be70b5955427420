"""FETCH (RFC 3501 6.4.5): batches of messages, each read in a thread, sent no faster than the client takes it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing

import attrs

from relaygw.mailbox.imap.commands import Attribute, Fetch, FetchItem, Section
from relaygw.mailbox.imap.fetch import (
    STREAMED,
    Computed,
    Fragment,
    Message,
    Shown,
    Stretch,
    computed,
    computes,
    joined,
    light_answer,
    opens,
    sets_seen,
)
from relaygw.mailbox.imap.messages import chosen, completed
from relaygw.mailbox.imap.selected import Selected
from relaygw.mailbox.imap.session import Completion, Gone, Session
from relaygw.mailbox.imap.structure import Part
from relaygw.mailbox.maildir import StoredContent
from relaygw.mailbox.values import Entry, Flag, FlagMode, StoreError

_ROWS = 500
"""Messages answered from the index in one turn of the reactor."""
_OPENED = 32
"""Messages opened at once,"""
_OCTETS = 1024 * 1024
"""and octets read at once, of all of them; one message is always allowed."""


@attrs.frozen(eq=False)
class _Answer:
    """What a thread made of a message. `made` is new for the cache; `part` worth remembering."""

    fragments: list[Fragment]
    made: Computed | None
    part: Part | None


async def fetch(session: Session, arguments: Fetch) -> Completion:
    selected = session.selected
    uids = chosen(selected, arguments.messages, arguments.by_uid)
    items = arguments.items
    if arguments.by_uid and Attribute.UID not in items:
        items = (Attribute.UID, *items)
    if opens(items):
        await _open_all(session, selected, items, uids)
    else:
        await _light_all(session, selected, items, uids)
    return completed(selected, uids, "Fetched", arguments.by_uid)


def _shown(selected: Selected, uids: Sequence[int]) -> Iterator[Shown]:
    """The messages that are still there, as they are now."""
    entries = selected.entries
    for uid in uids:
        entry = entries.get(uid)
        if entry is not None:
            yield Shown(selected.number(uid), entry, selected.flags(entry))


def _tell_flags(session: Session, selected: Selected, items: Sequence[FetchItem], shown: Sequence[Shown]) -> None:
    """Keywords are introduced before they show up, and flags that are shown are no news any more."""
    if Attribute.FLAGS not in items:
        return
    for one in shown:
        selected.flags_told(one.entry.uid)
    for line in selected.learn(keyword for one in shown for keyword in one.entry.keywords):
        session.channel.send(line + b"\r\n")


async def _light_all(session: Session, selected: Selected, items: Sequence[FetchItem], uids: Sequence[int]) -> None:
    """Answers made of the index and its cache."""
    cached = computes(items)
    for start in range(0, len(uids), _ROWS):
        batch = uids[start : start + _ROWS]
        found = await _computed(session, selected, batch) if cached else {}
        shown = list(_shown(selected, batch))
        _tell_flags(session, selected, items, shown)
        rows = [
            light_answer(items, one, found.get(one.entry.uid)) for one in shown if not cached or one.entry.uid in found
        ]
        session.channel.send(b"".join(rows))
        await session.channel.breathe()


async def _computed(session: Session, selected: Selected, uids: Sequence[int]) -> dict[int, Computed]:
    """ENVELOPE and structure from the cache, made and kept for those that were never asked for."""
    stored = await selected.folder.cached(uids)
    found = {uid: value for uid in uids if (value := computed(stored.get(uid))) is not None}
    entries = selected.entries
    missing = [entries[uid] for uid in uids if uid not in found and uid in entries]
    for batch in batches(missing, 1):
        made = await selected.folder.examine([entry.uid for entry in batch], _compute)
        await selected.folder.cache({uid: value.cached() for uid, value in made.items()})
        found.update(made)
        await session.channel.breathe()
    return found


def _compute(uid: int, content: StoredContent) -> Computed:
    with closing(content):
        return Message(content).compute()


def batches(entries: Sequence[Entry], times: int) -> Iterator[list[Entry]]:
    """Entries in groups that may be read at once, where each is read `times` times over."""
    group: list[Entry] = []
    octets = 0
    for entry in entries:
        if group and (len(group) >= _OPENED or octets + entry.size * times > _OCTETS):
            yield group
            group, octets = [], 0
        group.append(entry)
        octets += entry.size * times
    if group:
        yield group


async def _open_all(session: Session, selected: Selected, items: Sequence[FetchItem], uids: Sequence[int]) -> None:
    """Answers for which messages are opened."""
    entries = selected.entries
    present = [entries[uid] for uid in uids if uid in entries]
    for batch in batches(present, sum(isinstance(item, Section) for item in items)):
        numbers = [entry.uid for entry in batch]
        unseen = await _see(selected, items, numbers)
        shown = list(_shown(selected, numbers))
        more = (*items, Attribute.FLAGS) if unseen and Attribute.FLAGS not in items else items
        _tell_flags(session, selected, more, shown)
        asked = {one.entry.uid: (one, more if one.entry.uid in unseen else items) for one in shown}
        await _open_batch(session, selected, asked)


async def _see(selected: Selected, items: Sequence[FetchItem], uids: Sequence[int]) -> frozenset[int]:
    """Set \\Seen where fetching says so; answers the messages whose flags this changed."""
    if selected.read_only or not sets_seen(items):
        return frozenset()
    entries = selected.entries
    unseen = [uid for uid in uids if uid in entries and Flag.SEEN not in entries[uid].flags]
    if unseen:
        await selected.folder.store_flags(unseen, FlagMode.ADD, frozenset({Flag.SEEN}), origin=selected)
    return frozenset(unseen)


async def _open_batch(
    session: Session, selected: Selected, asked: Mapping[int, tuple[Shown, Sequence[FetchItem]]]
) -> None:
    uids = list(asked)
    cached = await selected.folder.cached(uids) if any(computes(items) for _, items in asked.values()) else {}
    known = session.last_part

    def work(uid: int, content: StoredContent) -> _Answer:
        shown, items = asked[uid]
        part = known[1] if known is not None and known[0] == (selected.folder, uid) else None
        return _answer(Message(content, part), shown, items, computed(cached.get(uid)))

    answers = await selected.folder.examine(uids, work)
    made = {uid: answer.made.cached() for uid, answer in answers.items() if answer.made is not None}
    if made:
        await selected.folder.cache(made)
    for uid, answer in answers.items():
        if answer.part is not None:
            session.last_part = ((selected.folder, uid), answer.part)
        await _send(session, answer.fragments)
    await session.channel.breathe()


def _answer(message: Message, shown: Shown, items: Sequence[FetchItem], found: Computed | None) -> _Answer:
    """In a thread. The content stays open where something of it is streamed."""
    with ExitStack() as stack:
        stack.callback(message.content.close)
        made = message.compute() if found is None and computes(items) else None
        fragments = joined(message.fragments(items, shown, found or made))
        if any(isinstance(fragment, Stretch) for fragment in fragments):
            stack.pop_all()
        # Clients fetch a large part piece by piece: its message is not to be taken apart for each of them.
        part = message.known_part if message.size > STREAMED else None
        return _Answer(fragments, made, part)


async def _send(session: Session, fragments: Sequence[Fragment]) -> None:
    for fragment in fragments:
        if isinstance(fragment, bytes):
            session.channel.send(fragment)
            continue
        with closing(fragment.content):
            await _stream(session, fragment)
    await session.channel.drained()


async def _stream(session: Session, stretch: Stretch) -> None:
    """A literal has been announced: what cannot be read now cannot be taken back, only the connection can end."""
    left = stretch.size
    try:
        async for piece in session.settings.store.read(stretch.content, stretch.start):
            session.channel.send(piece[:left])
            left -= len(piece[:left])
            await session.channel.drained()
            if not left:
                break
    except (OSError, StoreError):
        left = 1
    if left:
        session.channel.abort("a message could not be read to its end")
        raise Gone
