"""Addresses of ours looked up as they are at RCPT: return addresses (SRS) read back, aliases and virtual domains
expanded (relaygw.core.aliasing) with the tables and the directory of one configuration.

Where every table answers at once, so does this. A table or directory that cannot be asked raises, and whoever asked has
the mail wait: that nothing was found out is not that there is nothing.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import attrs

from relaygw.bridge import follow, resolve
from relaygw.core.address import Address
from relaygw.core.aliasing import MISS, Expansion, Final, Hit, Inquiry, Lookup, Mailbox, Question, Rules, Step, expand
from relaygw.core.reply import Reply
from relaygw.core.srs import EXPIRED, Refusal, Srs
from relaygw.interfaces import Account, IDirectory, IEntries, ITable

RETURNS_ONLY = Reply(550, "5.7.1", "This return address takes delivery reports only (MAIL FROM:<>)")


@attrs.frozen(eq=False)
class NamedTable:
    """A table under its name in the configuration."""

    name: str
    table: ITable


@attrs.frozen(kw_only=True, eq=False)
class Aliases:
    """`tables` are asked in their order. `srs` None: no return addresses are made here. `now` is POSIX seconds."""

    tables: Sequence[NamedTable]
    directory: IDirectory
    rules: Rules
    srs: Srs | None = None
    now: Callable[[], float] = lambda: 0.0

    def resolve(self, address: Address, sender: Address | None) -> Expansion | Awaitable[Expansion]:
        """What mail from the sender to an address of ours leads to. Raises what tables and directory raise."""
        if self.srs is not None and self.srs.is_return(address):
            return self._back(self.srs, address, sender)
        return self.expand(address)

    def expand(self, address: Address) -> Expansion | Awaitable[Expansion]:
        """The same for an address that is no return address."""
        if not self.tables:
            return Expansion(finals=(Final(address),))
        return self._drive(expand(address, self.rules), None)

    def expand_now(self, address: Address) -> Expansion:
        """Where nobody can wait: only tables in memory are asked, and where they fail an address stays as it is."""
        plain = Expansion(finals=(Final(address),))
        if not self.rules.ours(address.domain):
            return plain
        try:
            found = self.at_once().resolve(address, None)
        except Exception:
            return plain
        return plain if isinstance(found, Awaitable) or found.reply is not None else found

    def at_once(self) -> "Aliases":
        """The same without what may have to be waited for: who cannot be asked about now is taken for somebody."""
        tables = tuple(each for each in self.tables if IEntries.providedBy(each.table))
        here: Any = _Here(self.directory)
        return attrs.evolve(self, tables=tables, directory=here)

    def leads_to(self, address: Address) -> tuple[Address, ...]:
        """The same, as addresses alone."""
        return self.expand_now(address).addresses

    def _back(self, srs: Srs, address: Address, sender: Address | None) -> Expansion | Awaitable[Expansion]:
        """A return address is for reports alone: for anything else it would be a relay for whoever knows it."""
        if sender is not None:
            return Expansion(reply=RETURNS_ONLY, reason=f"<{sender}> writes to the return address <{address}>")
        found = srs.reverse(address, self.now())
        if isinstance(found, Refusal):
            text = "This return address has expired" if found is EXPIRED else "This return address is not one of ours"
            return Expansion(reply=Reply(550, "5.1.1", text), reason=f"SRS: {found.reason}")
        step = Step(address, "srs", str(address), (str(found),))
        if not self.rules.ours(found.domain):
            return Expansion(finals=(Final(found),), steps=(step,))
        return follow(self.expand(found), lambda onward: attrs.evolve(onward, steps=(step, *onward.steps)))

    def _drive(self, inquiry: Inquiry, answer: Any) -> Expansion | Awaitable[Expansion]:
        """Ask until there is a result, or an answer that has to be waited for."""
        try:
            while True:
                answer = self._ask(inquiry.send(answer))
                if isinstance(answer, Awaitable):
                    return self._later(inquiry, answer)
        except StopIteration as stop:
            result: Expansion = stop.value
            return result

    async def _later(self, inquiry: Inquiry, answer: Awaitable[Any]) -> Expansion:
        return await resolve(self._drive(inquiry, await answer))

    def _ask(self, question: Question) -> Any:
        if isinstance(question, Lookup):
            return self._lookup(question.key, 0)
        if isinstance(question, Mailbox):
            if question.address.domain not in self.rules.local:
                return False
            return follow(self.directory.account(question.address), lambda account: account is not None)
        raise TypeError(question)

    def _lookup(self, key: str, start: int) -> Hit | Awaitable[Hit]:
        for place in range(start, len(self.tables)):
            named = self.tables[place]
            values = named.table.lookup(key)
            if isinstance(values, Awaitable):
                return self._lookup_later(key, place, values)
            if values:
                return Hit(named.name, tuple(values))
        return MISS

    async def _lookup_later(self, key: str, place: int, values: Awaitable[Any]) -> Hit:
        found = await values
        if found:
            return Hit(self.tables[place].name, tuple(found))
        return await resolve(self._lookup(key, place + 1))


@attrs.frozen
class _Here:
    """A directory that answers at once: who cannot be asked about now is taken for somebody."""

    directory: Any

    def account(self, address: Address) -> Account | None:
        found = self.directory.account(address)
        if not isinstance(found, Awaitable):
            known: Account | None = found
            return known
        for name in ("close", "cancel"):
            if (end := getattr(found, name, None)) is not None:
                end()
                break
        return Account(name="", addresses=(), mailbox="")
