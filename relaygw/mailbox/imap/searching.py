"""SEARCH (RFC 3501 6.4.4): judged from the index where that is enough, messages read in threads where it is not."""

from collections.abc import Sequence

from relaygw.mailbox.imap.commands import Search, SearchKey
from relaygw.mailbox.imap.fetching import batches
from relaygw.mailbox.imap.search import Candidate, Judge, compile_search, weight
from relaygw.mailbox.imap.search_text import SearchedMessage
from relaygw.mailbox.imap.selected import FLAG_NAMES, Selected
from relaygw.mailbox.imap.session import Completion, Session, ok
from relaygw.mailbox.maildir import StoredContent
from relaygw.mailbox.values import Entry

_ROWS = 1000
"""Messages judged from the index in one turn of the reactor."""
_JUDGEMENTS = 20_000
"""Keys looked at in one turn, of all these messages together."""


async def search(session: Session, arguments: Search) -> Completion:
    selected = session.selected
    judge = compile_search(arguments.key, selected.exists, selected.uids)
    found: list[int] = []
    uids = list(selected.uids)
    rows = rows_of_a_turn(arguments.key)
    for start in range(0, len(uids), rows):
        found += await _judged(session, selected, judge, uids[start : start + rows])
        await session.channel.breathe()
    numbers = found if arguments.by_uid else [selected.number(uid) for uid in found]
    session.channel.send(b"* SEARCH" + b"".join([b" %d" % number for number in numbers]) + b"\r\n")
    return ok("Searched")


def rows_of_a_turn(key: SearchKey) -> int:
    """How many messages are judged before others have their turn."""
    return max(1, min(_ROWS, _JUDGEMENTS // weight(key)))


async def _judged(session: Session, selected: Selected, judge: Judge, uids: Sequence[int]) -> list[int]:
    """The UIDs of those that match, in order."""
    entries = selected.entries
    candidates = {uid: _candidate(selected, entries[uid]) for uid in uids if uid in entries}
    verdicts = {uid: judge(candidate, None) for uid, candidate in candidates.items()}
    unsure = [entries[uid] for uid, verdict in verdicts.items() if verdict is None]

    def read(uid: int, content: StoredContent) -> bool | None:
        try:
            return judge(candidates[uid], SearchedMessage(content))
        finally:
            content.close()

    for batch in batches(unsure, 1):
        verdicts.update(await selected.folder.examine([entry.uid for entry in batch], read))
        await session.channel.breathe()
    return [uid for uid, verdict in verdicts.items() if verdict]


def _candidate(selected: Selected, entry: Entry) -> Candidate:
    flags = {FLAG_NAMES[flag].lower() for flag in entry.flags}
    if entry.keywords:
        flags |= {keyword.lower() for keyword in entry.keywords}
    return Candidate(
        number=selected.number(entry.uid),
        uid=entry.uid,
        flags=frozenset(flags),
        recent=selected.is_recent(entry),
        size=entry.size,
        arrived=entry.internal_date,
    )
