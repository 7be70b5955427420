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
from collections.abc import Callable, Mapping
from functools import lru_cache
from operator import attrgetter
from typing import Any

import attrs

from relaygw.core.events import Accepted, Attempted, Event, Judged, Operated, Refused, Reported
from relaygw.core.outcome import Outcome

MAX_TEXT = 512
MAX_ITEMS = 100

_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_quote = json.encoder.encode_basestring_ascii
_WORD = re.compile(r"(?<!^)(?=[A-Z])")


@attrs.frozen
class Line:
    """An event made ready: `text` without line end; `keys` is what it can be found by."""

    time: float
    text: str
    keys: tuple[str, ...]


def event_name(kind: type[Event]) -> str:
    """The name under which events of this class stand in the journal."""
    return _WORD.sub("_", kind.__name__).lower()


@attrs.frozen
class _Plan:
    """How the events of one class are told: their name, their own fields, each with what stands before its value, and
    those they are found by. `detail` tells what they are counted by beside their name."""

    name: str
    fields: tuple[tuple[str, str], ...]
    searchable: tuple[str, ...]
    detail: Callable[[Any], str]


def _make_plan(kind: type[Event]) -> _Plan:
    names = tuple(field.name for field in attrs.fields(kind) if field.name not in ("session", "queue_id"))
    searchable = tuple(name for name in names if name in _SEARCHABLE)
    detail = next((found for base, found in _DETAILS.items() if issubclass(kind, base)), _no_detail)
    return _Plan(event_name(kind), tuple((name, f',"{name}":') for name in names), searchable, detail)


def _no_detail(event: Event) -> str:
    return ""


_DETAILS: Mapping[type[Event], Callable[[Any], str]] = {
    Attempted: lambda event: event.outcome.status.value,
    Refused: lambda event: f"{event.reply[:1]}xx",
    Judged: lambda event: f"{event.filter} {event.action}",
    Accepted: attrgetter("origin"),
    Operated: attrgetter("verb"),
    Reported: attrgetter("kind"),
}
_SEARCHABLE = {"message_id", "sender", "recipient", "recipients", "login", "report_id", "outcome"}
_plans: dict[type[Event], _Plan] = {}


def _plan(kind: type[Event]) -> _Plan:
    plan = _plans.get(kind)
    if plan is None:
        plan = _plans[kind] = _make_plan(kind)
    return plan


def count_of(event: Event) -> tuple[str, str]:
    """The kind and the detail by which an event is counted; the detail is one of few words of our own."""
    plan = _plans.get(type(event)) or _plan(type(event))
    return plan.name, plan.detail(event)


def make_line(event: Event, now: float) -> Line:
    """The line of an event that happened at `now`."""
    plan = _plan(type(event))
    told = [f'{{"time":"{timestamp(now)}","event":"{plan.name}"']
    if event.session:
        told.append(f',"session":{_quote(event.session)}')
    if event.queue_id:
        told.append(f',"queue_id":{_quote(event.queue_id)}')
    for field, opening in plan.fields:
        value = getattr(event, field)
        if value:
            if type(value) is str:  # as most are
                told.append(opening + _text(value))
            else:
                _put(told, field, value)
        elif value == 0 and value is not False:
            _put(told, field, value)
    told.append("}")
    return Line(now, "".join(told), tuple(dict.fromkeys(_keys(event, plan))))


# An encoder of JSON in general costs several times what the few shapes of our events do, and every message has many.


def _put(told: list[str], field: str, value: object) -> None:
    if isinstance(value, str):
        told.append(f',"{field}":{_text(value)}')
    elif isinstance(value, tuple):
        _put_list(told, field, value)
    elif isinstance(value, Outcome):
        _put_outcome(told, value)
    elif field == "next_due":
        assert isinstance(value, float | int)
        told.append(f',"{field}":"{timestamp(value)}"')
    elif type(value) is int:
        told.append(f',"{field}":{value}')
    else:
        told.append(f',"{field}":{_encode(round(value, 3) if isinstance(value, float) else value)}')


def _text(text: str) -> str:
    return _quote(text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…")


def _put_list(told: list[str], field: str, values: tuple[object, ...]) -> None:
    told.append(f',"{field}":[{",".join(map(_text, map(str, values[:MAX_ITEMS])))}]')
    if len(values) > MAX_ITEMS:
        told.append(f',"{field}_count":{len(values)}')


def _put_outcome(told: list[str], outcome: Outcome) -> None:
    told.append(f',"recipient":{_quote(str(outcome.recipient))},"status":"{outcome.status.value}"')
    _put(told, "reply", str(outcome.reply))
    for field in ("host", "address", "tls"):
        text = getattr(outcome, field)
        if text:
            _put(told, field, text)
    for field in ("remote", "uncertain", "relayed_dsn", "holds", "final"):
        if getattr(outcome, field):
            told.append(f',"{field}":true')


def _keys(event: Event, plan: _Plan) -> list[str]:
    keys = [search_key(name) for name in (event.session, event.queue_id) if name]
    for field in plan.searchable:
        value = getattr(event, field)
        if not value:
            continue
        if isinstance(value, str):
            keys.append(search_key(value))
        elif isinstance(value, Outcome):
            keys.append(search_key(str(value.recipient)))
        else:
            keys += map(search_key, filter(None, value))
    return keys


def search_key(text: str) -> str:
    """How an id, a Message-ID or an address is kept and asked for: lower case, without angle brackets, bounded."""
    key = text.strip().removeprefix("<").removesuffix(">").lower()[:MAX_TEXT]
    return key if key.isascii() else key.encode("utf-8", "replace").decode()


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
