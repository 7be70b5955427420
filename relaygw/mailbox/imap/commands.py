"""What a client can ask for, as frozen values, and in which states it may (RFC 3501 6).

A Request carries the tag, the command's name (without "UID") and its arguments. Mailbox names are text, with INBOX
in capitals; flags are text in their canonical spelling.
"""

import enum
from datetime import date

import attrs

from relaygw.mailbox.imap.sequence import SequenceSet
from relaygw.mailbox.imap.tokens import Literal


class State(enum.Enum):
    """Where a session stands (RFC 3501 3)."""

    UNAUTHENTICATED = "unauth"
    AUTHENTICATED = "auth"
    SELECTED = "select"
    LOGOUT = "logout"


_ANY = frozenset({State.UNAUTHENTICATED, State.AUTHENTICATED, State.SELECTED})
_FRESH = frozenset({State.UNAUTHENTICATED})
_INSIDE = frozenset({State.AUTHENTICATED, State.SELECTED})
_SELECTED = frozenset({State.SELECTED})

ALLOWED: dict[str, frozenset[State]] = {
    **dict.fromkeys(("CAPABILITY", "NOOP", "LOGOUT", "ID"), _ANY),
    **dict.fromkeys(("STARTTLS", "AUTHENTICATE", "LOGIN"), _FRESH),
    **dict.fromkeys(("SELECT", "EXAMINE", "CREATE", "DELETE", "RENAME", "SUBSCRIBE", "UNSUBSCRIBE"), _INSIDE),
    **dict.fromkeys(("LIST", "LSUB", "STATUS", "APPEND", "NAMESPACE", "ENABLE", "IDLE"), _INSIDE),
    **dict.fromkeys(("CHECK", "CLOSE", "UNSELECT", "EXPUNGE", "SEARCH", "FETCH", "STORE", "COPY", "MOVE"), _SELECTED),
}
"""Every command there is, with the states in which it may be given."""


@attrs.frozen
class Nothing:
    """The command has no arguments, or none that matter (ID)."""


@attrs.frozen
class Login:
    user: bytes
    password: bytes = attrs.field(repr=False)


@attrs.frozen
class Authenticate:
    """`initial` is the initial response in base64, `=` for an empty one, None where there is none (RFC 4959)."""

    mechanism: str
    initial: bytes | None = attrs.field(default=None, repr=False)


@attrs.frozen
class Mailbox:
    """The one mailbox a command is about."""

    name: str


@attrs.frozen
class Rename:
    source: str
    target: str


@attrs.frozen
class ListPattern:
    reference: str
    pattern: str


@attrs.frozen
class Status:
    name: str
    items: tuple[str, ...]


@attrs.frozen
class Append:
    """`arrived` in POSIX seconds; None: now."""

    name: str
    flags: tuple[str, ...]
    arrived: float | None
    message: Literal


@attrs.frozen
class Enable:
    capabilities: tuple[str, ...]


@attrs.frozen
class Expunge:
    """`uids` None: all messages with \\Deleted; otherwise those of them that are named (RFC 4315)."""

    uids: SequenceSet | None = None


class Attribute(enum.Enum):
    """A thing to fetch that takes no parameters."""

    FLAGS = b"FLAGS"
    UID = b"UID"
    INTERNALDATE = b"INTERNALDATE"
    SIZE = b"RFC822.SIZE"
    ENVELOPE = b"ENVELOPE"
    BODY = b"BODY"
    BODYSTRUCTURE = b"BODYSTRUCTURE"


class Text(enum.Enum):
    """Which text of a part a section means; WHOLE is all of it."""

    WHOLE = ""
    HEADER = "HEADER"
    FIELDS = "HEADER.FIELDS"
    FIELDS_NOT = "HEADER.FIELDS.NOT"
    TEXT = "TEXT"
    MIME = "MIME"


@attrs.frozen(kw_only=True)
class Section:
    """Some octets of the message. `label` is what the answer calls them; `partial` is (first octet, most octets)."""

    part: tuple[int, ...] = ()
    text: Text = Text.WHOLE
    fields: frozenset[bytes] = frozenset()
    partial: tuple[int, int] | None = None
    peek: bool = False
    label: bytes = b"BODY[]"


FetchItem = Attribute | Section


@attrs.frozen(kw_only=True)
class Fetch:
    messages: SequenceSet
    items: tuple[FetchItem, ...]
    by_uid: bool = False


class Mode(enum.Enum):
    """What STORE does with the flags it names."""

    SET = b""
    ADD = b"+"
    REMOVE = b"-"


@attrs.frozen(kw_only=True)
class Store:
    messages: SequenceSet
    mode: Mode
    flags: tuple[str, ...]
    silent: bool = False
    by_uid: bool = False


@attrs.frozen(kw_only=True)
class Copy:
    """COPY and MOVE."""

    messages: SequenceSet
    name: str
    by_uid: bool = False


@attrs.frozen
class All:
    pass


@attrs.frozen
class HasFlag:
    """The flag is set, or with `present` False, not set."""

    flag: str
    present: bool = True


@attrs.frozen
class Recent:
    present: bool = True


class Relation(enum.Enum):
    BEFORE = "before"
    ON = "on"
    SINCE = "since"


@attrs.frozen
class Dated:
    """A date, ignoring time and zone: of arrival, or with `sent`, of the Date field."""

    relation: Relation
    day: date
    sent: bool = False


@attrs.frozen
class Sized:
    """Larger than `limit`, or smaller; never equal."""

    limit: int
    larger: bool


@attrs.frozen
class HasHeader:
    """A field of this name (small letters) contains the text; an empty text: there is such a field."""

    name: str
    text: str


@attrs.frozen
class HasText:
    """The body contains the text, or with `headers`, body or header section does."""

    text: str
    headers: bool


@attrs.frozen
class Numbered:
    """Sequence numbers or UIDs."""

    messages: SequenceSet
    by_uid: bool = False


@attrs.frozen
class Not:
    key: "SearchKey"


@attrs.frozen
class Or:
    first: "SearchKey"
    second: "SearchKey"


@attrs.frozen
class And:
    keys: "tuple[SearchKey, ...]"


SearchKey = All | HasFlag | Recent | Dated | Sized | HasHeader | HasText | Numbered | Not | Or | And


@attrs.frozen(kw_only=True)
class Search:
    key: SearchKey
    by_uid: bool = False


Arguments = (
    Nothing
    | Login
    | Authenticate
    | Mailbox
    | Rename
    | ListPattern
    | Status
    | Append
    | Enable
    | Expunge
    | Fetch
    | Store
    | Copy
    | Search
)


@attrs.frozen
class Request:
    tag: bytes
    name: str
    arguments: Arguments = Nothing()
    by_uid: bool = False
