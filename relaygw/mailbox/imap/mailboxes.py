"""Commands about mailboxes as a whole (RFC 3501 6.3; RFC 3348 CHILDREN, 6154 SPECIAL-USE, 8438 STATUS=SIZE)."""

from collections.abc import Iterable

from relaygw.mailbox.imap.commands import ListPattern, Mailbox, Nothing, Rename, Status
from relaygw.mailbox.imap.matching import Pattern
from relaygw.mailbox.imap.render import mailbox, parenthesized
from relaygw.mailbox.imap.session import Completion, Session, no, ok
from relaygw.mailbox.values import DELIMITER, INBOX, Flag, FolderStatus

_SPECIAL = {
    "Archive": b"\\Archive",
    "Drafts": b"\\Drafts",
    "Junk": b"\\Junk",
    "Sent": b"\\Sent",
    "Trash": b"\\Trash",
}
"""Names whose use everybody agrees on (RFC 6154 2)."""


async def select(session: Session, arguments: Mailbox) -> Completion:
    return await _select(session, arguments.name, read_only=False)


async def examine(session: Session, arguments: Mailbox) -> Completion:
    return await _select(session, arguments.name, read_only=True)


async def _select(session: Session, name: str, read_only: bool) -> Completion:
    """However it ends, the mailbox selected before is no more (RFC 3501 6.3.1)."""
    await session.deselect()
    folder = await session.account.open(name)
    selected = session.select(folder, read_only)
    try:
        await selected.claim_recent()
    except BaseException:
        await session.deselect()
        raise
    # What the claim found is part of what follows, not news.
    selected.news(expunges=True)
    flags, permanent = selected.flag_lists()
    lines = [b"FLAGS " + flags, b"%d EXISTS" % selected.exists, b"%d RECENT" % selected.recent_count]
    if selected.first_unseen:
        lines.append(b"OK [UNSEEN %d] First unseen" % selected.first_unseen)
    lines += [
        b"OK [PERMANENTFLAGS " + permanent + b"] Kept",
        b"OK [UIDVALIDITY %d] Valid" % folder.uid_validity,
        b"OK [UIDNEXT %d] Next" % folder.uid_next,
    ]
    session.channel.send(b"".join(b"* " + line + b"\r\n" for line in lines))
    return ok("Selected", b"READ-ONLY" if read_only else b"READ-WRITE")


async def close(session: Session, arguments: Nothing) -> Completion:
    """Expunge without telling, and deselect (RFC 3501 6.4.2)."""
    selected = session.selected
    try:
        if not selected.read_only:
            entries = selected.entries
            known = (uid for uid in selected.uids if uid in entries)
            await selected.folder.expunge([uid for uid in known if Flag.DELETED in entries[uid].flags], selected)
    finally:
        await session.deselect()
    return ok("Closed")


async def unselect(session: Session, arguments: Nothing) -> Completion:
    await session.deselect()
    return ok("Closed")


async def create(session: Session, arguments: Mailbox) -> Completion:
    """A delimiter at the end only says that something will go below it (RFC 3501 6.3.3)."""
    await session.account.create(arguments.name.removesuffix(DELIMITER))
    return ok("Made")


async def delete(session: Session, arguments: Mailbox) -> Completion:
    if arguments.name == INBOX:
        return no("INBOX cannot be deleted", b"CANNOT")
    await session.account.delete(arguments.name)
    return ok("Deleted")


async def rename(session: Session, arguments: Rename) -> Completion:
    await session.account.rename(arguments.source, arguments.target.removesuffix(DELIMITER))
    return ok("Renamed")


async def subscribe(session: Session, arguments: Mailbox) -> Completion:
    await session.account.subscribe(arguments.name)
    return ok("Subscribed")


async def unsubscribe(session: Session, arguments: Mailbox) -> Completion:
    await session.account.unsubscribe(arguments.name)
    return ok("No longer subscribed")


async def list_(session: Session, arguments: ListPattern) -> Completion:
    if not arguments.pattern:
        session.channel.send(b'* LIST (\\Noselect) "/" ""\r\n')
        return ok("That is the delimiter")
    folders = await session.account.folders()
    names = _with_parents(folders)
    parents = {_parent(name) for name in names}
    there = frozenset(folders)
    for name in _matching(names, arguments):
        attributes = [b"\\HasChildren" if name in parents else b"\\HasNoChildren"]
        attributes += [] if name in there else [b"\\Noselect"]
        attributes += [_SPECIAL[name]] if name in _SPECIAL and name in there else []
        session.channel.send(_listed(b"LIST", attributes, name))
    return ok("That is all")


async def lsub(session: Session, arguments: ListPattern) -> Completion:
    subscribed = await session.account.subscriptions()
    there = frozenset(subscribed)
    # `%` may stop above a subscribed name: then that is shown, as no mailbox (RFC 3501 6.3.9).
    names = _with_parents(subscribed) if "%" in arguments.pattern else sorted(subscribed)
    for name in _matching(names, arguments):
        session.channel.send(_listed(b"LSUB", [] if name in there else [b"\\Noselect"], name))
    return ok("That is all")


def _listed(kind: bytes, attributes: Iterable[bytes], name: str) -> bytes:
    return b'* %b %b "/" %b\r\n' % (kind, parenthesized(attributes), mailbox(name))


def _parent(name: str) -> str:
    return name.rpartition(DELIMITER)[0]


def _with_parents(names: Iterable[str]) -> list[str]:
    """The names and all that stand above them, in order, INBOX first."""
    found = set(names)
    for name in names:
        while (name := _parent(name)) and name not in found:
            found.add(name)
    return sorted(found, key=lambda name: (name != INBOX, name))


def _matching(names: Iterable[str], wanted: ListPattern) -> list[str]:
    text = wanted.reference + wanted.pattern
    pattern, capital = Pattern(text, DELIMITER), Pattern(_inbox_in_capitals(text), DELIMITER)
    return [name for name in names if (capital if name.partition(DELIMITER)[0] == INBOX else pattern).matches(name)]


def _inbox_in_capitals(pattern: str) -> str:
    """INBOX matches in any case (RFC 3501 5.1), what is below it does not."""
    first, delimiter, rest = pattern.partition(DELIMITER)
    return first.upper() + delimiter + rest


async def status(session: Session, arguments: Status) -> Completion:
    found = await session.account.status(arguments.name)
    items = (item.encode("ascii") + b" %d" % _figure(item, found, session) for item in arguments.items)
    session.channel.send(b"* STATUS " + mailbox(arguments.name) + b" " + parenthesized(items) + b"\r\n")
    return ok("Done")


def _figure(item: str, found: FolderStatus, session: Session) -> int:
    return {
        "MESSAGES": found.messages,
        "RECENT": found.recent,
        "UIDNEXT": found.uid_next,
        "UIDVALIDITY": found.uid_validity,
        "UNSEEN": found.unseen,
        "SIZE": found.size,
        "APPENDLIMIT": session.settings.max_append,
    }[item]
