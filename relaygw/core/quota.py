"""Counting what is sent, by the hour and by the day, against limits. Pure; times are POSIX seconds.

A window begins with the first message in it and lasts its time; with the first message after that a new one begins.
Everything that comes in is counted, what is beyond a limit too: who floods does not get the next hour's share at once.
The ledger is bounded: beyond MAX_KEYS the key that was used longest ago is forgotten.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

MAX_KEYS = 20_000

SPANS: Mapping[str, float] = {"hour": 3600.0, "day": 86400.0}


@attrs.frozen
class Amounts:
    """Of messages, recipients and octets; as limits, 0 is none."""

    messages: int = 0
    recipients: int = 0
    octets: int = 0


@attrs.frozen(kw_only=True)
class Limits:
    """`hour` and `day` as in SPANS."""

    hour: Amounts = Amounts()
    day: Amounts = Amounts()


@attrs.frozen(kw_only=True)
class Excess:
    """One limit that a message is beyond. `first`: nobody was told of this window yet."""

    span: str
    what: str
    used: int
    limit: int
    since: float
    first: bool

    def __str__(self) -> str:
        return f"{self.used} {self.what} in the {self.span}, {self.limit} are allowed"


@attrs.define
class Window:
    """What was used since `since`. `told`: somebody was told that it was too much."""

    since: float
    messages: int = 0
    recipients: int = 0
    octets: int = 0
    told: bool = False


class Ledger:
    """The windows of all keys."""

    def __init__(self) -> None:
        self._windows: dict[str, dict[str, Window]] = {}

    def __len__(self) -> int:
        return len(self._windows)

    def charge(self, key: str, limits: Limits, used: Amounts, now: float) -> tuple[Excess, ...]:
        """Count a message; the limits that it is beyond, at most one for each span."""
        windows = self._windows.pop(key, None) or {}
        self._windows[key] = windows
        if len(self._windows) > MAX_KEYS:
            del self._windows[next(iter(self._windows))]
        found = (_charge(windows, span, getattr(limits, span), used, now) for span in SPANS)
        return tuple(excess for excess in found if excess is not None)

    def told(self, key: str, span: str, since: float, told: bool = True) -> None:
        """Somebody was told of this window, or was not after all."""
        window = self._windows.get(key, {}).get(span)
        if window is not None and window.since == since:
            window.told = told

    def sweep(self, now: float) -> None:
        """Forget what is over."""
        for key, windows in list(self._windows.items()):
            if all(_over(window, span, now) for span, window in windows.items()):
                del self._windows[key]

    def dump(self) -> list[list[Any]]:
        """All of it, for JSON, longest unused first."""
        return [
            [key, span, window.since, window.messages, window.recipients, window.octets, window.told]
            for key, windows in self._windows.items()
            for span, window in windows.items()
        ]

    def load(self, rows: object) -> None:
        """What `dump` gave; raises ValueError, and changes nothing, for anything else."""
        windows: dict[str, dict[str, Window]] = {}
        for key, span, window in _read(rows):
            windows.setdefault(key, {})[span] = window
        self._windows = dict(list(windows.items())[-MAX_KEYS:])


def _charge(windows: dict[str, Window], span: str, limits: Amounts, used: Amounts, now: float) -> Excess | None:
    window = windows.get(span)
    if window is None or _over(window, span, now):
        window = windows[span] = Window(now)
    excess = None
    for field in attrs.fields(Amounts):
        what, limit = field.name, getattr(limits, field.name)
        total = getattr(window, what) + getattr(used, what)
        setattr(window, what, total)
        if limit and total > limit and excess is None:
            excess = Excess(span=span, what=what, used=total, limit=limit, since=window.since, first=not window.told)
    return excess


def _over(window: Window, span: str, now: float) -> bool:
    """A clock that was set back ends a window, too: it would last too long."""
    return not window.since <= now < window.since + SPANS[span]


def _read(rows: object) -> Iterator[tuple[str, str, Window]]:
    for row in rows if isinstance(rows, list) else [rows]:
        match row:
            case [
                str(key),
                str(span),
                int() | float() as since,
                int() as n,
                int() as to,
                int() as size,
                bool() as told,
            ]:
                if span not in SPANS:
                    raise ValueError(f"no such span: {span!r:.20}")
                yield key, span, Window(float(since), n, to, size, told)
            case _:
                raise ValueError("not a row of a ledger")
