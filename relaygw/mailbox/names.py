"""Names of accounts and folders, and the directories that carry them. Pure; no name leads out of its directory.

Maildir++: INBOX is the account's maildir itself, folder `Lists/Twisted` the directory `.Lists.Twisted` in it. A dot
inside a part, and all that is not printable ASCII, is written in modified UTF-7 (RFC 3501 5.1.3).
"""

import re

from relaygw.mailbox.imap.utf7 import BadName, decode_name, encode_name
from relaygw.mailbox.values import DELIMITER, INBOX, BadFolderName

MAX_DIRECTORY = 250
"""Octets of a directory's name: below the 255 of common file systems."""

_DOT = b"&AC4-"
_MAILBOX = re.compile(r"[^./\x00-\x20\x7f][^/\x00-\x1f\x7f]*\Z")


def check_mailbox(mailbox: str) -> str:
    """The account's directory name as given; raises ValueError for one that is no plain, visible name."""
    if not _MAILBOX.match(mailbox) or len(mailbox.encode("utf-8", "replace")) > MAX_DIRECTORY:
        raise ValueError("not a directory name for an account's mailbox")
    return mailbox


def canonical_folder(name: str) -> str:
    """The one spelling of a folder's name: INBOX in any case is INBOX (RFC 9051 5.1); raises BadFolderName."""
    first, delimiter, rest = name.partition(DELIMITER)
    if first.upper() == INBOX:
        name = INBOX + delimiter + rest
    folder_directory(name)
    return name


def folder_directory(name: str) -> str:
    """The directory of a folder below the account's, "" for INBOX; raises BadFolderName."""
    if name == INBOX:
        return ""
    parts = name.split(DELIMITER)
    if not all(parts):
        raise BadFolderName("a part of the folder's name is empty")
    if any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in name):
        raise BadFolderName("the folder's name has a control character")
    if any(0xD800 <= ord(character) < 0xE000 for character in name):
        raise BadFolderName("the folder's name has half a character")
    directory = b"".join(b"." + encode_name(part).replace(b".", _DOT) for part in parts)
    if len(directory) > MAX_DIRECTORY:
        raise BadFolderName("the folder's name is too long")
    return directory.decode("ascii")


def folder_name(directory: str) -> str | None:
    """The folder that a directory of an account carries; None: it is not a folder's, or not spelt as we spell it."""
    if not directory.startswith("."):
        return None
    try:
        parts = [_decode_part(part) for part in directory[1:].encode("ascii").split(b".")]
        name = DELIMITER.join(parts)
        return name if folder_directory(name) == directory and canonical_folder(name) == name else None
    except (BadName, BadFolderName, UnicodeEncodeError):
        return None


def _decode_part(part: bytes) -> str:
    # "&" begins a shifted run only: a literal one is "&-", so this split cannot cut one.
    return ".".join(decode_name(piece) for piece in part.split(_DOT))
