"""Whom a client may write as (RFC 6409 6.1): the addresses of an account, and patterns from a table.

Pure: who asked, and what an account has, are arguments.
"""

import attrs

from relaygw.core.address import Address
from relaygw.core.patterns import Patterns


@attrs.frozen(kw_only=True)
class Identity:
    """`name` says who it is, for people. `own` are its addresses, in any case of letters; `anybody`: no limits."""

    name: str
    own: tuple[Address, ...] = ()
    table: Patterns | None = None
    anybody: bool = False

    def covers(self, address: Address | None) -> bool:
        """Whether it may write as this address. The null reverse-path is everybody's (RFC 5321 4.5.5)."""
        if address is None or self.anybody:
            return True
        return any(_same(address, own) for own in self.own) or (
            self.table is not None and self.table.match(address) != ""
        )


def _same(one: Address, other: Address) -> bool:
    return one.domain == other.domain and one.local.casefold() == other.local.casefold()
