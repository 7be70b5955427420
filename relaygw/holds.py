"""The rules that hold mail, in use: those of the configuration, and those an operator makes while the service runs,
which are kept in a file of the state directory and end by themselves where they were given a time.

A rule of an operator goes before those of the configuration. One that cannot be read is told, and holds nothing.
"""

import contextlib
import json
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import attrs

from relaygw import durable
from relaygw.config.problem import Path, spell
from relaygw.config.schema import Config, HoldConfig
from relaygw.config.structure import Reader
from relaygw.core.address import Address
from relaygw.core.content import Content
from relaygw.core.events import Event, RuleChanged, TaskFailed
from relaygw.core.header_match import HeaderMatchError
from relaygw.core.holds import HoldRule, HoldTable, Places, compile_hold, make_table
from relaygw.core.patterns import PatternError
from relaygw.core.record import RecipientState, Record
from relaygw.core.routing import Groups

FILE = "holds.json"
MAX_RULES = 1000
_KEYS = ("name", "action", "reason", "match")


class HoldError(ValueError):
    """The rule cannot be meant; the message says why."""


def nowhere(record: Record, state: RecipientState) -> Collection[str]:
    """Where destinations are not known."""
    return ()


@attrs.frozen(kw_only=True)
class Kept:
    """A rule that an operator made, as it was given."""

    given: Mapping[str, Any]
    since: float
    until: float
    rule: HoldRule


class HoldBook:
    """`now` is POSIX seconds; `places` knows destinations. Nothing is read before `start`."""

    def __init__(
        self,
        path: str,
        config: Config,
        *,
        now: Callable[[], float],
        write_event: Callable[[Event], None],
        places: Places = nowhere,
    ) -> None:
        self.active = False
        self._path = path
        self._now = now
        self._write_event = write_event
        self._places = places
        self._kept: dict[str, Kept] = {}
        self._table = self._placed = HoldTable()
        self._config = config
        self._compile()

    def read(self) -> None:
        """Read what operators made; raises OSError or ValueError."""
        self._kept = self._load()
        self._compile()

    def start(self) -> None:
        """Read what operators made; what cannot be read is put aside and told."""
        try:
            self.read()
        except (OSError, ValueError) as error:
            self._write_event(TaskFailed(task="read the rules that hold mail", error=str(error)))
            with contextlib.suppress(OSError):
                os.replace(self._path, f"{self._path}.unreadable")

    def reconfigure(self, config: Config) -> None:
        """Those of this configuration from now on; what operators made stays."""
        self._config = config
        self._kept = {name: self._again(kept) for name, kept in self._kept.items()}
        self._compile()

    def _groups(self) -> Groups:
        return {"local": self._config.local_domains, "relay": self._config.relay_domains}

    def _again(self, kept: Kept) -> Kept:
        """Compiled anew: the domains may be others. What could be read before stays as it was where it cannot now."""
        with contextlib.suppress(HoldError):
            return attrs.evolve(kept, rule=self._read(kept.given, kept.until, kept.since)[1])
        return kept

    def _compile(self) -> None:
        own = [kept.rule for kept in self._kept.values()]
        groups = self._groups()
        self._table = make_table(
            [*own, *(compile_hold(number, each, groups) for number, each in enumerate(self._config.holds, 1))]
        )
        self._placed = make_table([rule for rule in self._table.rules if rule.destinations])
        self.active = bool(self._table.rules)

    def judge(self, record: Record, head: bytes) -> HoldRule | None:
        """The rule that holds this message; None where none does, or it is held already."""
        return None if record.held else self._table.judge(record, head, self._places)

    def judge_destination(
        self, record: Record, content: Content, recipient: Address, destination: str
    ) -> HoldRule | None:
        """The same, by the rules on destinations alone, when it is found out where mail for a recipient's domain goes:
        nobody may have known it when the message came."""
        if not self._placed.rules or record.held or record.released:
            return None
        names = (destination, *destination.split(","))
        return self._placed.judge(
            record,
            content.head if self._placed.headers else b"",
            lambda _, state: names if state.address.domain == recipient.domain else (),
            late=True,
        )

    # What operators do

    def all(self) -> Sequence[Mapping[str, Any]]:
        """Every rule in force, in order; `since` and `until` are None where there is no such time."""
        self._expire()
        own = [
            _document(kept.given, kept.rule, since=kept.since, until=kept.until, by="operator")
            for kept in self._kept.values()
        ]
        return own + [
            _document(_given(each), rule, since=None, until=float("inf"), by="configuration")
            for each, rule in zip(self._config.holds, self._table.rules[len(own) :], strict=True)
        ]

    def add(self, rule: Mapping[str, Any]) -> Mapping[str, Any]:
        """Make a rule: `name`, `action`, `reason`, `match` as in [[hold]]; it lasts `seconds`. Raises HoldError."""
        self._expire()
        given = {key: value for key, value in rule.items() if key in _KEYS and value not in ("", None)}
        seconds = rule.get("seconds")
        since, until = self._now(), float("inf")
        if seconds is not None:
            until = since + float(seconds)
        config, made = self._read(given, until, since)
        strange = set(config.match.listener) - {each.name for each in self._config.listeners}
        if strange:
            raise HoldError(f'match.listener: no listener is named "{min(strange)}"')
        if any(each.name == config.name for each in self._config.holds):
            raise HoldError(f"{config.name!r} is the name of a rule of the configuration")
        if config.name not in self._kept and len(self._kept) >= MAX_RULES:
            raise HoldError(f"there are {MAX_RULES} rules already")
        if made.conditions.unconditional and not made.destinations and not rule.get("all"):
            raise HoldError("it has no condition: say that all mail is meant")
        kept = Kept(given=given, since=since, until=until, rule=made)
        self._change({**self._kept, config.name: kept})
        self._write_event(RuleChanged(rule=config.name, verb="add", reason=config.reason))
        return _document(given, made, since=since, until=until, by="operator")

    def remove(self, name: str) -> bool:
        """End a rule that an operator made; False where there is none. HoldError for one of the configuration."""
        if any(each.name == name for each in self._config.holds):
            raise HoldError(f"{name!r} stands in the configuration: take it out there")
        if name not in self._kept:
            return False
        self._change({each: kept for each, kept in self._kept.items() if each != name})
        self._write_event(RuleChanged(rule=name, verb="remove"))
        return True

    def _expire(self) -> None:
        now = self._now()
        ended = [name for name, kept in self._kept.items() if kept.until <= now]
        for name in ended:
            del self._kept[name]
            self._write_event(RuleChanged(rule=name, verb="remove", reason="its time is over"))
        if ended:
            self._compile()

    def _change(self, kept: dict[str, Kept]) -> None:
        """On the disk first: what an operator was told holds after a crash, too."""
        self._save(kept)
        self._kept = kept
        self._compile()

    # The file

    def _read(self, given: Any, until: float, since: float) -> tuple[HoldConfig, HoldRule]:
        faults: list[str] = []

        def tell(place: Path, message: str, hint: str) -> None:
            faults.append(f"{spell(place)}: {message}" + (f" ({hint})" if hint else ""))

        config: HoldConfig = Reader("/", tell, {}, frozenset()).table(HoldConfig, dict(given), ())
        if not config.reason.isprintable():
            faults.append("reason: it must be one line of text")
        if faults:
            raise HoldError("; ".join(faults))
        try:
            return config, compile_hold(1, config, self._groups(), until, since)
        except (PatternError, HeaderMatchError) as error:
            raise HoldError(str(error)) from None

    def _load(self) -> dict[str, Kept]:
        try:
            with open(self._path, "rb") as file:
                rows = json.load(file)
        except FileNotFoundError:
            return {}
        found: dict[str, Kept] = {}
        try:
            for row in rows["rules"]:
                until = float("inf") if row["until"] is None else float(row["until"])
                since = float(row["since"])
                config, rule = self._read(row["rule"], until, since)
                found[config.name] = Kept(given=row["rule"], since=since, until=until, rule=rule)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{self._path} does not hold rules: {error}") from None
        return found

    def _save(self, kept: Mapping[str, Kept]) -> None:
        rows = [
            {"rule": each.given, "since": each.since, "until": None if each.until == float("inf") else each.until}
            for each in kept.values()
        ]
        durable.replace(self._path, json.dumps({"rules": rows}))


def _given(config: HoldConfig) -> Mapping[str, Any]:
    """As it could be given: only what says something."""
    blank = type(config.match)()
    match = {
        field.name: value
        for field in attrs.fields(type(config.match))
        if (value := getattr(config.match, field.name)) != getattr(blank, field.name)
    }
    return {"name": config.name, "action": config.action, "reason": config.reason, "match": match}


def _document(
    given: Mapping[str, Any], rule: HoldRule, *, since: float | None, until: float, by: str
) -> dict[str, Any]:
    match = {name: _plain(value) for name, value in given.get("match", {}).items()}
    return {
        "name": rule.name,
        "action": "quarantine" if rule.quarantine else "hold",
        "reason": rule.reason,
        "match": match,
        "by": by,
        "since": since,
        "until": None if until == float("inf") else until,
    }


def _plain(value: Any) -> Any:
    """As JSON has it."""
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if isinstance(value, str | int | float | bool | dict) else str(value)
