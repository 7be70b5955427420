"""What a client asks for, read from JSON bodies and query strings: every value bounded, every fault one BadRequest."""

import json
from collections.abc import Mapping
from typing import Any

import attrs

from relaygw.config.kinds import duration, network, size
from relaygw.core.address import Address, AddressError, parse_address
from relaygw.core.client import Network
from relaygw.core.patterns import PatternError
from relaygw.core.record import Origin
from relaygw.core.selection import Selection, patterns

MAX_TEXT = 1000
MAX_IDS = 10_000
MAX_LIMIT = 10_000

Asked = Mapping[str, Any]

FILTERS = (
    "id", "sender", "recipient", "held", "quarantined", "origin", "older_than", "younger_than", "min_attempts", "reply",
    "login", "client", "held_for", "listener", "message_id", "header_from", "finding", "larger_than", "smaller_than",
    "destination",
)  # fmt: skip
"""The names of all conditions on queued messages, the same in queries, bodies and options."""


class BadRequest(ValueError):
    """The request cannot be meant; the message tells the client why."""


@attrs.frozen
class Meant:
    """The messages an order is for. `unconditional`: nothing chooses them; `only_ids`: nothing but ids does."""

    selection: Selection
    unconditional: bool
    only_ids: bool


def body(data: bytes) -> dict[str, Any]:
    """The JSON object in a request's body; an empty one is an empty object."""
    try:
        value = json.loads(data) if data.strip() else {}
    except (ValueError, RecursionError):
        raise BadRequest("the body is not JSON") from None
    if not isinstance(value, dict):
        raise BadRequest("the body is not a JSON object")
    return value


def query(arguments: Mapping[bytes, list[bytes]]) -> dict[str, Any]:
    """A query string as an object: a name given once is a text; `id`, `sender`, `recipient` and `to` are lists."""
    found: dict[str, Any] = {}
    for name, values in arguments.items():
        try:
            key, texts = name.decode("ascii"), [value.decode("utf-8") for value in values]
        except UnicodeDecodeError:
            raise BadRequest("the query is not UTF-8") from None
        found[key] = texts if key in _LISTS or (key in _REPEATABLE and len(texts) > 1) else texts[0]
    return found


_LISTS = ("id", "sender", "recipient", "to")
_REPEATABLE = ("login", "client", "listener", "header_from", "finding", "destination")


def known(asked: Asked, *names: str) -> None:
    """Refuse what nobody would read: a misspelt filter must not select everything."""
    for name in asked:
        if name not in names:
            raise BadRequest(f"there is no parameter {name[:100]!r}; known are {', '.join(names)}")


def meant(asked: Asked) -> Meant:
    """The messages that are meant, by the conditions of FILTERS."""
    given = {name for name in FILTERS if asked.get(name) not in (None, "", [])}
    try:
        selection = Selection(
            ids=frozenset(texts(asked, "id", MAX_IDS)),
            sender=patterns(texts(asked, "sender")),
            recipient=patterns(texts(asked, "recipient")),
            held=yes_or_no(asked, "held"),
            quarantined=yes_or_no(asked, "quarantined"),
            origin=_origin(text(asked, "origin")),
            older_than=seconds(asked, "older_than"),
            younger_than=seconds(asked, "younger_than"),
            min_attempts=number(asked, "min_attempts", 0, 1_000_000),
            reply=text(asked, "reply"),
            logins=frozenset(texts(asked, "login")),
            clients=_networks(asked, "client"),
            held_for=text(asked, "held_for"),
            listeners=frozenset(texts(asked, "listener")),
            message_id=_message_id(text(asked, "message_id")),
            header_from=patterns(texts(asked, "header_from")),
            findings=frozenset(each.lower() for each in texts(asked, "finding")),
            larger_than=octets(asked, "larger_than"),
            smaller_than=_some_octets(asked, "smaller_than"),
            destinations=frozenset(texts(asked, "destination")),
        )
    except PatternError as error:
        raise BadRequest(str(error)) from None
    return Meant(selection, unconditional=not given, only_ids=given == {"id"})


def text(asked: Asked, name: str, default: str = "") -> str:
    value = asked.get(name, default)
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise BadRequest(f"{name}: a text of at most {MAX_TEXT} characters is wanted")
    return value


def texts(asked: Asked, name: str, most: int = 100) -> tuple[str, ...]:
    value = asked.get(name) or []
    value = [value] if isinstance(value, str) else value
    if not isinstance(value, list) or len(value) > most:
        raise BadRequest(f"{name}: a list of at most {most} texts is wanted")
    return tuple(text({name: each}, name) for each in value)


def single(asked: Asked, name: str) -> str:
    """The one text that is given, of those that may be several."""
    values = texts(asked, name)
    if len(values) > 1:
        raise BadRequest(f"{name}: one is wanted")
    return values[0] if values else ""


def number(asked: Asked, name: str, default: int, most: int) -> int:
    value = asked.get(name, default)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 12:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise BadRequest(f"{name}: a whole number up to {most} is wanted")
    return value


def yes_or_no(asked: Asked, name: str) -> bool | None:
    value = asked.get(name)
    words = {None: None, "": None, True: True, False: False, "true": True, "yes": True, "false": False, "no": False}
    if isinstance(value, list | dict) or value not in words:
        raise BadRequest(f"{name}: true or false is wanted")
    return words[value]


def address(asked: Asked, name: str) -> Address:
    """A whole address, with or without angle brackets."""
    try:
        return parse_address(text(asked, name).strip().removeprefix("<").removesuffix(">"))
    except AddressError as error:
        raise BadRequest(f"{name}: {error}") from None


def reverse_path(asked: Asked, name: str) -> Address | None:
    """An address, or None for "<>" and ""."""
    return None if text(asked, name).strip() in ("", "<>") else address(asked, name)


def _networks(asked: Asked, name: str) -> tuple[Network, ...]:
    try:
        return tuple(map(network, texts(asked, name)))
    except ValueError as error:
        raise BadRequest(f"{name}: an address or a network is wanted: {error}") from None


def seconds(asked: Asked, name: str) -> float | None:
    """A duration, None where none is given."""
    value = asked.get(name)
    if value in (None, ""):
        return None
    try:
        return duration(float(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value)
    except (ValueError, OverflowError):
        raise BadRequest(f'{name}: a duration such as "90s", "5m", "4h" or "5d" is wanted') from None


def octets(asked: Asked, name: str) -> int:
    """A size, 0 where none is given."""
    value = asked.get(name)
    if value in (None, ""):
        return 0
    try:
        return size(int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value)
    except (ValueError, OverflowError):
        raise BadRequest(f'{name}: a size such as "256K", "50M" or a number of octets is wanted') from None


def _some_octets(asked: Asked, name: str) -> int:
    """As `octets`; what can choose nothing must not choose everything."""
    found = octets(asked, name)
    if not found and asked.get(name) not in (None, ""):
        raise BadRequest(f"{name}: nothing has less than 0 octets")
    return found


def _message_id(text: str) -> str:
    """As records have it: in angle brackets."""
    return f"<{text.strip().removeprefix('<').removesuffix('>')}>" if text.strip() else ""


def _origin(word: str) -> Origin | None:
    try:
        return Origin(word) if word else None
    except ValueError:
        raise BadRequest(f"origin: one of {', '.join(each.value for each in Origin)} is wanted") from None
