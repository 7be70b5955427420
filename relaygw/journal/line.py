"""One event as one JSON object. The shape is a contract with whoever reads the journal.

    time      when, ISO 8601 in UTC with milliseconds: "2026-11-23T05:34:53.120Z"
    event     the event's class in relaygw.core.events, in snake case: "accepted", "login_refused"
    session   the SMTP session's id            queue_id  the message's id
    …         the event's own fields under their names; an outcome's fields stand beside them, its reply as text,
              its status as "delivered", "deferred" or "failed"; `next_due` is a time like `time`

What is empty, false or unknown is left out. A text longer than MAX_TEXT characters is cut and ends in "…"; of a list
longer than MAX_ITEMS the first ones are kept and `NAME_count` tells how many there were. Peers' texts are data: control
characters, quotes and what is not UTF-8 are escaped by JSON, so that a line is always one line of ASCII.
"""

import json
import re
import time
from collections.abc import Iterator
from functools import lru_cache

import attrs

from relaygw.core.events import Event
from relaygw.core.outcome import Outcome

MAX_TEXT = 512
MAX_ITEMS = 100

_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_WORD = re.compile(r"(?<!^)(?=[A-Z])")


@attrs.frozen
class Line:
    """An event made ready: `text` without line end; `keys` is what it can be found by; `kind` and `detail` count it."""

    time: float
    text: str
    keys: tuple[str, ...]
    kind: str
    detail: str


def event_name(kind: type[Event]) -> str:
    """The name under which events of this class stand in the journal."""
    return _WORD.sub("_", kind.__name__).lower()


@attrs.frozen
class _Plan:
    """How the events of one class are told: their name, their own fields, and those they are found by."""

    name: str
    fields: tuple[str, ...]
    searchable: tuple[str, ...]


def _make_plan(kind: type[Event]) -> _Plan:
    names = tuple(field.name for field in attrs.fields(kind) if field.name not in ("session", "queue_id"))
    return _Plan(event_name(kind), names, tuple(name for name in names if name in _SEARCHABLE))


_SEARCHABLE = {"message_id", "sender", "recipient", "recipients", "login", "report_id", "outcome"}
_plans: dict[type[Event], _Plan] = {}


def make_line(event: Event, now: float) -> Line:
    """The line of an event that happened at `now`."""
    plan = _plans.get(type(event))
    if plan is None:
        plan = _plans[type(event)] = _make_plan(type(event))
    told: dict[str, object] = {"time": timestamp(now), "event": plan.name}
    if event.session:
        told["session"] = event.session
    if event.queue_id:
        told["queue_id"] = event.queue_id
    for field in plan.fields:
        value = getattr(event, field)
        if value or (value == 0 and value is not False):
            _put(told, field, value)
    return Line(now, _encode(told), tuple(dict.fromkeys(_keys(event, plan))), plan.name, _detail(told))


def _put(told: dict[str, object], field: str, value: object) -> None:
    if isinstance(value, str):
        told[field] = value if len(value) <= MAX_TEXT else value[: MAX_TEXT - 1] + "…"
    elif isinstance(value, tuple):
        _put_list(told, field, value)
    elif isinstance(value, Outcome):
        _put_outcome(told, value)
    elif field == "next_due":
        assert isinstance(value, float | int)
        told[field] = timestamp(value)
    elif isinstance(value, float):
        told[field] = round(value, 3)
    else:
        told[field] = value


def _put_list(told: dict[str, object], field: str, values: tuple[object, ...]) -> None:
    told[field] = [
        text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…" for text in map(str, values[:MAX_ITEMS])
    ]
    if len(values) > MAX_ITEMS:
        told[f"{field}_count"] = len(values)


def _put_outcome(told: dict[str, object], outcome: Outcome) -> None:
    told["recipient"] = str(outcome.recipient)
    told["status"] = outcome.status.value
    _put(told, "reply", str(outcome.reply))
    for field in ("host", "address", "tls"):
        text = getattr(outcome, field)
        if text:
            _put(told, field, text)
    for field in ("remote", "uncertain", "relayed_dsn", "holds"):
        if getattr(outcome, field):
            told[field] = True


def _detail(told: dict[str, object]) -> str:
    """The finer kind an event is counted by; always one of few words of our own, never a peer's text."""
    if told["event"] == "attempted":
        return str(told["status"])
    if told["event"] == "refused":
        return f"{str(told.get('reply', ''))[:1]}xx"
    if told["event"] == "judged":
        return f"{told.get('filter', '')} {told.get('action', '')}"
    if told["event"] in ("accepted", "operated", "reported"):
        return str(told.get("origin") or told.get("verb") or told.get("kind") or "")
    return ""


def _keys(event: Event, plan: _Plan) -> Iterator[str]:
    if event.session:
        yield search_key(event.session)
    if event.queue_id:
        yield search_key(event.queue_id)
    for field in plan.searchable:
        value = getattr(event, field)
        if isinstance(value, tuple):
            yield from map(search_key, filter(None, value))
        elif isinstance(value, Outcome):
            yield search_key(str(value.recipient))
        elif value:
            yield search_key(value)


def search_key(text: str) -> str:
    """How an id, a Message-ID or an address is kept and asked for: lower case, without angle brackets, bounded."""
    return text.strip().removeprefix("<").removesuffix(">").lower()[:MAX_TEXT].encode("utf-8", "replace").decode()


@lru_cache(maxsize=8)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def timestamp(now: float) -> str:
    """POSIX seconds as ISO 8601 in UTC with milliseconds. Beyond the calendar (infinity): "never"."""
    try:
        milliseconds = round(now * 1000)
        return f"{_second(milliseconds // 1000)}.{milliseconds % 1000:03d}Z"
    except (OverflowError, ValueError, OSError):
        return "never"
