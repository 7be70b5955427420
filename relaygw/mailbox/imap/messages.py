"""Commands that change messages (RFC 3501 6.3.11, 6.4; RFC 4315 UIDPLUS, 6851 MOVE)."""

import contextlib

from relaygw.mailbox.imap.commands import Append, Copy, Expunge, Mode, Store
from relaygw.mailbox.imap.selected import Selected, split_flags
from relaygw.mailbox.imap.sequence import SequenceSet, format_sequence
from relaygw.mailbox.imap.session import Completion, Session, no, ok
from relaygw.mailbox.imap.tokens import StoredLiteral
from relaygw.mailbox.imap.upload import Upload
from relaygw.mailbox.values import Flag, FlagMode, NoSuchFolder

_BATCH = 500
"""Messages whose flags are changed in one go: in between other sessions of the account have their turn."""

_MODES = {Mode.SET: FlagMode.REPLACE, Mode.ADD: FlagMode.ADD, Mode.REMOVE: FlagMode.REMOVE}
_READ_ONLY = no("The mailbox was opened to be looked at", b"READ-ONLY")


def chosen(selected: Selected, messages: SequenceSet, by_uid: bool) -> list[int]:
    """The UIDs a command means, of messages the client knows; raises BadSequence."""
    if by_uid:
        return messages.uids(selected.uids)
    uids = selected.uids
    return [uids[number - 1] for number in messages.numbers(len(uids))]


async def append(session: Session, arguments: Append) -> Completion:
    """The literal has been collected in an Upload (see `upload`)."""
    literal = arguments.message
    if not isinstance(literal, StoredLiteral) or not isinstance(literal.handle, Upload):
        return no("There is no message in it", b"CANNOT")
    with contextlib.closing(literal.handle) as upload:
        problem = upload.problem()
        if problem is not None:
            return problem
        return await _append(session, arguments, upload)


async def _append(session: Session, arguments: Append, upload: Upload) -> Completion:
    try:
        folder = await session.account.open(arguments.name)
    except NoSuchFolder:
        return no("There is no such mailbox", b"TRYCREATE")
    try:
        flags, keywords = split_flags(arguments.flags)
        uid = await folder.append(upload.content, flags, keywords, arguments.arrived)
        return ok("Stored", b"APPENDUID %d %d" % (folder.uid_validity, uid))
    finally:
        await folder.close()


async def expunge(session: Session, arguments: Expunge) -> Completion:
    """Notices follow as news (RFC 3501 6.4.3; with UIDs RFC 4315 2.1)."""
    selected = session.selected
    if selected.read_only:
        return _READ_ONLY
    entries = selected.entries
    uids = selected.uids if arguments.uids is None else arguments.uids.uids(selected.uids)
    doomed = [uid for uid in uids if uid in entries and Flag.DELETED in entries[uid].flags]
    if doomed:
        await selected.folder.expunge(doomed, selected)
    return ok("Expunged")


async def store(session: Session, arguments: Store) -> Completion:
    selected = session.selected
    if selected.read_only:
        return _READ_ONLY
    uids = chosen(selected, arguments.messages, arguments.by_uid)
    flags, keywords = split_flags(arguments.flags)
    keywords = selected.spelled(keywords)
    if arguments.mode is not Mode.REMOVE:
        for line in selected.learn(keywords):
            session.channel.send(line + b"\r\n")
    for start in range(0, len(uids), _BATCH):
        batch = uids[start : start + _BATCH]
        await selected.folder.store_flags(batch, _MODES[arguments.mode], flags, keywords, origin=selected)
        if not arguments.silent:
            _show_flags(session, selected, batch, arguments.by_uid)
        await session.channel.breathe()
    return completed(selected, uids, "Flags stored", arguments.by_uid)


def _show_flags(session: Session, selected: Selected, uids: list[int], by_uid: bool) -> None:
    entries = selected.entries
    for uid in uids:
        if uid in entries:
            shown = b"UID %d " % uid if by_uid else b""
            session.channel.send(
                b"* %d FETCH (%bFLAGS %b)\r\n" % (selected.number(uid), shown, selected.flags(entries[uid]))
            )
            selected.flags_told(uid)


def completed(selected: Selected, uids: list[int], text: str, by_uid: bool) -> Completion:
    """By number a client means messages it believes in: it is told that some are gone (RFC 2180 4.1.2, 4.2.1)."""
    entries = selected.entries
    if not by_uid and any(uid not in entries for uid in uids):
        return no("Some of the messages are gone", b"EXPUNGEISSUED")
    return ok(text)


async def copy(session: Session, arguments: Copy) -> Completion:
    selected = session.selected
    uids = chosen(selected, arguments.messages, arguments.by_uid)
    try:
        pairs = await selected.folder.copy(uids, arguments.name)
        code = await _copied(session, arguments.name, pairs)
    except NoSuchFolder:
        return no("There is no such mailbox", b"TRYCREATE")
    return ok("Copied", code)


async def move(session: Session, arguments: Copy) -> Completion:
    """COPYUID goes before the EXPUNGE notices, which follow as news (RFC 6851 4.3)."""
    selected = session.selected
    if selected.read_only:
        return _READ_ONLY
    uids = chosen(selected, arguments.messages, arguments.by_uid)
    try:
        pairs = await selected.folder.move(uids, arguments.name)
        code = await _copied(session, arguments.name, pairs)
    except NoSuchFolder:
        return no("There is no such mailbox", b"TRYCREATE")
    if code:
        session.channel.send(b"* OK [" + code + b"] Moved\r\n")
    return ok("Moved")


async def _copied(session: Session, target: str, pairs: dict[int, int]) -> bytes:
    """The COPYUID response code; b"" where nothing was copied (RFC 4315 3)."""
    if not pairs:
        return b""
    validity = (await session.account.status(target)).uid_validity
    # UIDs there rise in the order of those here, so that both sets can be read side by side.
    return b"COPYUID %d %b %b" % (validity, format_sequence(pairs), format_sequence(pairs.values()))
