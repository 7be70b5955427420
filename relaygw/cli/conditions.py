"""The language in which operators say which messages they mean, as options: the same for every verb."""

import argparse
from typing import Any

from relaygw.control import asked

_PATTERN = 'an address, a domain or ".example.com"; repeatable, one must match'

_REPEATED: tuple[tuple[str, str, str], ...] = (
    ("sender", "P", f'{_PATTERN}; "<>" is the null one'),
    ("recipient", "P", f"{_PATTERN}, among those that wait"),
    ("login", "NAME", "sent by this login; repeatable, one must match"),
    ("client", "CIDR", "sent from this address or network; repeatable"),
    ("listener", "NAME", "came in over this listener; repeatable"),
    ("header-from", "P", "the domain of the From field; repeatable"),
    ("finding", "WORDS", 'what filters found, such as "dmarc=fail"; repeatable'),
    ("destination", "NAME", "waits for this destination, or a host of it (of the running service); repeatable"),
)

_SINGLE: tuple[tuple[str, str, str], ...] = (
    ("older-than", "TIME", 'in the queue for at least "5m", "4h", "2d" …'),
    ("younger-than", "TIME", "in the queue for less"),
    ("reply", "TEXT", "the last reply has this in it"),
    ("held-for", "TEXT", "the reason it is held has this in it"),
    ("message-id", "ID", "the Message-ID field"),
    ("larger-than", "SIZE", 'more than "256K", "50M" …'),
    ("smaller-than", "SIZE", "less than this"),
)


def said(text: str) -> str:
    """The type of options that choose: an empty text, such as a script's empty variable, must not choose everything."""
    if not text.strip():
        raise argparse.ArgumentTypeError("an empty text chooses nothing")
    return text


def add_conditions(parser: argparse.ArgumentParser, *, what: str = "ID") -> None:
    """Ids and conditions, of which all given must hold."""
    parser.add_argument(
        "ids", nargs="*", metavar=what, help="queue ids, or destinations by their names" if "|" in what else "queue ids"
    )
    add = parser.add_argument_group("conditions, all of which must hold").add_argument
    for name, value, sentence in _REPEATED:
        add(f"--{name}", type=said, action="append", default=[], metavar=value, help=sentence)
    for name, value, sentence in _SINGLE:
        add(f"--{name}", type=said, default=None, metavar=value, help=sentence)
    for name in ("held", "quarantined"):
        add(f"--{name}", action=argparse.BooleanOptionalAction, help=f"only what is {name}, or is not")
    add("--origin", default="", choices=("received", "report", "local"), help="how it came into the queue")
    add("--min-attempts", type=int, default=0, metavar="N", help="attempted at least N times")


def conditions(options: argparse.Namespace) -> dict[str, Any]:
    """What was given, under the names of relaygw.control.asked.FILTERS."""
    given = {"id": options.ids, **{name: getattr(options, name) for name in asked.FILTERS if name != "id"}}
    return {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in given.items()
        if value not in (None, "", [], 0) or value is False
    }
