"""Where mail for an address of ours goes: aliases and virtual domains, expanded until nothing leads on.

Sans-IO: what must be looked up is yielded, the answer sent in. For an address the tables are asked for

    name+tag@domain, name@domain, and in local domains name+tag, name;      @domain where nobody has that mailbox

and the first that is there decides. An alias that leads to its own address means its mailbox. Duplicates collapse, and
depth and count are bounded: a circle is a fault of the tables, and mail waits for whoever mends it (451) rather than
being lost. Where there is an entry `owner-NAME`, that address becomes the sender of what goes to the members of NAME.
"""

from collections.abc import Collection, Generator, Iterator
from typing import Any

import attrs

from relaygw.core.address import Address
from relaygw.core.alias_targets import TargetError, address_key, fold, parse_target
from relaygw.core.permission import Domains
from relaygw.core.reply import Reply

UNKNOWN = Reply(550, "5.1.1", "No such mailbox here")
CIRCLE = Reply(451, "4.4.6", "Mail for this address runs in a circle here; try again later")
TOO_MANY = Reply(451, "4.5.3", "Mail for this address goes to too many; try again later")
BROKEN = Reply(451, "4.3.5", "What is configured for this address cannot be used; try again later")

OWNER = "owner-"


@attrs.frozen
class Lookup:
    """A question to the tables; the answer is a Hit, MISS where none of them has the key."""

    key: str


@attrs.frozen
class Mailbox:
    """Whether there is a mailbox for the address; the answer is a bool."""

    address: Address


@attrs.frozen
class Hit:
    table: str
    values: tuple[str, ...]


MISS = Hit("", ())

Question = Lookup | Mailbox


@attrs.frozen(kw_only=True)
class Rules:
    """`local` are the domains with mailboxes, in which names without a domain count; addresses in `virtual` ones exist
    in tables only; those of `relay` domains may. `delimiter`: each of its characters begins a tag. `depth` and `most`
    bound an expansion."""

    local: Collection[str]
    virtual: Collection[str] = ()
    relay: "Domains | Collection[str]" = ()
    delimiter: str = "+"
    depth: int = 20
    most: int = 1000

    def here(self, domain: str) -> bool:
        """Whether nobody behind us could know an address that we do not."""
        return domain in self.local or domain in self.virtual

    def ours(self, domain: str) -> bool:
        """Whether addresses of the domain are looked up."""
        return self.here(domain) or domain in self.relay


@attrs.frozen
class Step:
    """An address was found in a table, under this key, and leads to these targets."""

    address: Address
    table: str
    key: str
    targets: tuple[str, ...]


@attrs.frozen
class Final:
    """Where it ends; `owner` is the sender instead of the message's own, None where that stays."""

    address: Address
    owner: Address | None = None


@attrs.frozen(kw_only=True)
class Expansion:
    """`reply` is the refusal, None where the mail can be taken; `reason` what the log says of it. Without steps the
    address is no alias, and is the only one in `finals`."""

    finals: tuple[Final, ...] = ()
    steps: tuple[Step, ...] = ()
    reply: Reply | None = None
    reason: str = ""

    @property
    def plain(self) -> bool:
        return not self.steps and self.reply is None

    @property
    def addresses(self) -> tuple[Address, ...]:
        return tuple(final.address for final in self.finals)

    @property
    def tables(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(step.table for step in self.steps))


Inquiry = Generator[Question, Any, Expansion]


def expand(start: Address, rules: Rules) -> Inquiry:
    """The expansion of an address of ours."""
    walk = _Walk(rules)
    fault = yield from walk.run(start)
    if fault is not None:
        return Expansion(steps=tuple(walk.steps), reply=fault[0], reason=fault[1])
    if walk.steps and not (yield from walk.reaches_somebody()):
        reason = f"{start} leads to mailboxes that do not exist"
        return Expansion(steps=tuple(walk.steps), reply=UNKNOWN, reason=reason)
    return Expansion(finals=tuple(walk.finals.values()), steps=tuple(walk.steps))


@attrs.frozen
class _Waiting:
    """An address to be looked at. `trail` holds the keys that led to it."""

    address: Address
    trail: tuple[str, ...] = ()
    owner: Address | None = None
    final: bool = False


_Fault = tuple[Reply, str]


class _Walk:
    """One expansion under way."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._seen: set[str] = set()
        self.steps: list[Step] = []
        self.finals: dict[str, Final] = {}
        self._nowhere = False

    def run(self, start: Address) -> Generator[Question, Any, _Fault | None]:
        stack = [_Waiting(start)]
        while stack:
            if len(stack) + len(self.finals) > self._rules.most:
                return TOO_MANY, f"{start} leads to more than {self._rules.most} addresses"
            each = stack.pop()
            key = address_key(each.address)
            hit = MISS
            if not each.final and key not in self._seen and self._rules.ours(each.address.domain):
                self._seen.add(key)
                hit, found = yield from self._find(each.address)
            elif key in self._seen and not each.final:
                continue  # expanded, or final, already
            if not hit.values:
                self.finals.setdefault(key, Final(each.address, each.owner))
                continue
            self.steps.append(Step(each.address, hit.table, found, hit.values))
            if len(each.trail) >= self._rules.depth:
                return CIRCLE, f"{start} leads on more than {self._rules.depth} times"
            owner = (yield from self._owner(each.address)) or each.owner
            try:
                targets = list(self._targets(each, key, hit, owner))
            except TargetError as error:
                return BROKEN, f"table {hit.table}, {found}: {error}"
            circle = next((waiting for waiting in targets if address_key(waiting.address) in each.trail), None)
            if circle is not None:
                return CIRCLE, f"{circle.address} leads back to itself by {each.address}"
            stack.extend(reversed(targets))
        return None

    def _find(self, address: Address) -> Generator[Question, Any, tuple[Hit, str]]:
        """The entry for an address, with its key."""
        for key in self._keys(address):
            hit: Hit = yield Lookup(key)
            if hit.values:
                return hit, key
        rest: Hit = yield Lookup(f"@{address.domain}")
        if rest.values and not (yield Mailbox(address)):
            return rest, f"@{address.domain}"
        return MISS, ""

    def _keys(self, address: Address) -> Iterator[str]:
        names = dict.fromkeys((fold(address.local), fold(self._base(address.local))))
        yield from (f"{name}@{address.domain}" for name in names)
        if address.domain in self._rules.local:
            yield from names

    def _base(self, local: str) -> str:
        """A local part without its tag."""
        cuts = [place for sign in self._rules.delimiter if (place := local.find(sign)) > 0]
        return local[: min(cuts)] if cuts else local

    def _owner(self, address: Address) -> Generator[Question, Any, Address | None]:
        name = self._base(address.local)
        if fold(name).startswith(OWNER):
            return None
        owner = Address(OWNER + name, address.domain)
        for key in self._keys(owner):
            hit: Hit = yield Lookup(key)
            if hit.values:
                return owner
        return None

    def _targets(self, each: _Waiting, key: str, hit: Hit, owner: Address | None) -> Iterator[_Waiting]:
        """Where an entry leads; what leads to the address itself is its mailbox, with the tag it came with."""
        own = {key, address_key(Address(self._base(each.address.local), each.address.domain))}
        for text in hit.values:
            target = parse_target(text)
            if target.nowhere:
                self._nowhere = True
                continue
            address = target.at(each.address)
            if address_key(address) in own:
                yield _Waiting(each.address, (), owner, True)
            else:
                yield _Waiting(address, (*each.trail, key), owner, target.final)

    def reaches_somebody(self) -> Generator[Question, Any, bool]:
        """Whether mail gets anywhere: elsewhere, to a mailbox, or where it was meant to be thrown away."""
        for final in self.finals.values():
            if not self._rules.here(final.address.domain) or (yield Mailbox(final.address)):
                return True
        return self._nowhere or not self.finals
