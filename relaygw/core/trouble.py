"""What kind of trouble an outcome tells of: what retry rules are chosen by, and what says whether a destination lives.

Codes decide where they are clear; words decide for greylisting, which has no code of its own. Texts of peers are
looked at up to a bound, and never with more than plain searches and patterns that cannot run away.
"""

import enum
import re

from relaygw.core.outcome import Outcome, Status

MAX_TEXT = 1000
"""Characters of a reply that are looked at."""


class Trouble(enum.Enum):
    """The value is the configuration's word."""

    NONE = "none"
    CONNECT = "connect"  # no host took a connection, or it broke before a reply
    DNS = "dns"  # nothing could be found out about where to connect
    TLS = "tls"  # the TLS that is wanted did not come about
    LOGIN = "login"  # our login was refused, or there is no token for it
    BUSY = "busy"  # the server closes all conversations (421)
    GREYLISTED = "greylisted"
    FULL = "full"  # the mailbox is full
    LOCAL = "local"  # our own: no route, a transport that failed
    TEMPORARY = "temporary"  # any other 4xx
    PERMANENT = "permanent"


UNREACHABLE = frozenset({Trouble.CONNECT, Trouble.DNS, Trouble.TLS, Trouble.BUSY})
"""What says something about the destination, and nothing about the message."""

_OURS = {
    "4.4.1": Trouble.CONNECT,
    "4.4.2": Trouble.CONNECT,
    "4.4.3": Trouble.DNS,
    "4.4.4": Trouble.DNS,
    "4.7.4": Trouble.TLS,
    "4.7.5": Trouble.TLS,
    "4.7.8": Trouble.LOGIN,
}

_FULL = frozenset({"4.2.2", "5.2.2"})
_FULL_WORDS = ("mailbox full", "mailbox is full", "over quota", "overquota", "quota exceeded", "exceeded storage")
_GREY_WORDS = ("greylist", "graylist", "grey-list", "gray-list", "grey list", "gray list")


def trouble_of(outcome: Outcome) -> Trouble:
    """The kind of trouble; total."""
    if outcome.status is Status.DELIVERED:
        return Trouble.NONE
    reply = outcome.reply
    if not outcome.remote:
        if outcome.status is Status.FAILED:
            return Trouble.PERMANENT
        return _OURS.get(reply.enhanced, Trouble.LOCAL)
    text = reply.text[:MAX_TEXT].casefold()
    if reply.enhanced in _FULL or any(words in text for words in _FULL_WORDS):
        return Trouble.FULL
    if outcome.status is Status.FAILED:
        return Trouble.PERMANENT
    if any(words in text for words in _GREY_WORDS):
        return Trouble.GREYLISTED
    return Trouble.BUSY if reply.code == 421 else Trouble.TEMPORARY


_STATED = re.compile(
    r"(?<![0-9])(?:(\d{1,3}):([0-5]\d)(?::([0-5]\d))?"
    r"|(\d{1,5}) ?(seconds?|secs?|minutes?|mins?|hours?|s|m|h))(?![a-z0-9])"
)
_SIZES = {"s": 1.0, "m": 60.0, "h": 3600.0}

GREY_WAIT = 300.0
"""Seconds after which most greylists let one in (RFC 6647 5)."""

_GREY_SLACK = 5.0
_LONGEST_STATED = 6 * 3600.0


def greylist_wait(text: str) -> float:
    """Seconds to wait as a greylisting server states them ("300 seconds", "05:00", "5 minutes"), or a fitting time.

    A little longer than stated: clocks differ, and to come too early may start the time anew.
    """
    stated = _STATED.search(text[:MAX_TEXT].casefold())
    if stated is None:
        return GREY_WAIT
    first, second, third, number, unit = stated.groups()
    if number:
        seconds = float(number) * _SIZES[unit[0]]
    elif third:
        seconds = float(first) * 3600 + float(second) * 60 + float(third)
    else:
        seconds = float(first) * 60 + float(second)
    return min(seconds, _LONGEST_STATED) + _GREY_SLACK if seconds > 0 else GREY_WAIT
