"""The commands of POP3 as one table: where each may be said, and with what."""

from collections.abc import Mapping
from types import MappingProxyType

import attrs

AUTHORIZATION, TRANSACTION = "authorization", "transaction"

DIGITS = 10
"""Digits of a number we look at."""


class Refuse(Exception):
    """The command is answered -ERR with this text."""


@attrs.frozen
class Command:
    """One row of the table: where it may be said, and how many arguments it takes (None: the rest of the line is
    one argument, spaces and all)."""

    states: tuple[str, ...]
    arguments: range | None = range(1)


_BOTH = (AUTHORIZATION, TRANSACTION)
COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "CAPA": Command(_BOTH),
        "QUIT": Command(_BOTH),
        "STLS": Command((AUTHORIZATION,)),
        "USER": Command((AUTHORIZATION,), None),
        "PASS": Command((AUTHORIZATION,), None),
        "AUTH": Command((AUTHORIZATION,), range(3)),
        "STAT": Command((TRANSACTION,)),
        "LIST": Command((TRANSACTION,), range(2)),
        "UIDL": Command((TRANSACTION,), range(2)),
        "RETR": Command((TRANSACTION,), range(1, 2)),
        "TOP": Command((TRANSACTION,), range(2, 3)),
        "DELE": Command((TRANSACTION,), range(1, 2)),
        "RSET": Command((TRANSACTION,)),
        "NOOP": Command((TRANSACTION,)),
    }
)


def parse_number(text: bytes) -> int:
    """A decimal number without sign; raises Refuse."""
    if not text.isdigit() or len(text) > DIGITS:
        raise Refuse("not a number")
    return int(text)
