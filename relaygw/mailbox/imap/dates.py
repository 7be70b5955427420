"""Dates as IMAP writes them (RFC 3501 9 date, date-time), and the date a message says it was sent."""

import re
from datetime import UTC, date, datetime, timedelta, timezone
from email.utils import parsedate_tz

from relaygw.mailbox.imap.tokens import BadSyntax

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_NUMBERS = {month.lower(): number for number, month in enumerate(MONTHS, 1)}
_DATE = re.compile(r"([0-9]{1,2})-([A-Za-z]{3})-([0-9]{4})")
_DATE_TIME = re.compile(
    r"([ 0-9][0-9])-([A-Za-z]{3})-([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) ([+-])([0-9]{2})([0-9]{2})"
)


def parse_date(text: bytes) -> date:
    """`1-Feb-1994`."""
    found = _DATE.fullmatch(text.decode("ascii", "replace"))
    try:
        if found is None:
            raise ValueError
        day, month, year = found.groups()
        return date(int(year), _NUMBERS[month.lower()], int(day))
    except (ValueError, KeyError):
        raise BadSyntax("a date such as 1-Feb-1994 expected") from None


def parse_date_time(text: bytes) -> float:
    """`17-Jul-1996 02:44:25 -0700` in POSIX seconds."""
    found = _DATE_TIME.fullmatch(text.decode("ascii", "replace"))
    try:
        if found is None:
            raise ValueError
        day, month, year, hour, minute, second, sign, hours, minutes = found.groups()
        zone = timedelta(hours=int(hours), minutes=int(minutes)) * (-1 if sign == "-" else 1)
        # A leap second is a legal time; it is the last second of its minute to us.
        clock = (int(hour), int(minute), min(int(second), 59 if second == "60" else 99))
        return datetime(int(year), _NUMBERS[month.lower()], int(day), *clock, tzinfo=timezone(zone)).timestamp()
    except (ValueError, KeyError):
        raise BadSyntax("a date and time such as 17-Jul-1996 02:44:25 -0700 expected") from None


def format_date_time(seconds: float) -> bytes:
    """The date-time of an INTERNALDATE, in UTC, with its quotes."""
    when = _at(seconds)
    text = f'"{when.day:2d}-{MONTHS[when.month - 1]}-{when.year:04d} {when:%H:%M:%S} +0000"'
    return text.encode("ascii")


def arrival_day(seconds: float) -> date:
    """The day `format_date_time` shows."""
    return _at(seconds).date()


def _at(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC)


def sent_day(field: str) -> date | None:
    """The day a Date field names, whatever its time and zone (RFC 3501 6.4.4); None where it names none."""
    try:
        parsed = parsedate_tz(field[:200])
        return date(*parsed[:3]) if parsed else None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
