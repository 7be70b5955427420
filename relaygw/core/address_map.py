"""What one address becomes by a map, as canonical(5) and generic(5) have it, and by masquerading.

Looked up are name+tag@domain, name@domain (its tag is kept), in local domains the name alone, and @domain; the first
that is there counts, once: a map is no alias, and what it says is not looked up again. What no table has may be
masqueraded: an address in a host below a domain becomes one in the domain.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator

import attrs

from relaygw.core.address import Address
from relaygw.core.alias_targets import TargetError, fold, parse_target

Lookup = Callable[[str], tuple[str, ...] | Awaitable[tuple[str, ...]]]
"""A table's; of one that answers at once."""


class MapError(ValueError):
    """A table has something that is no address; the message names it."""


@attrs.frozen(kw_only=True)
class AddressMap:
    """`lookups` are asked in their order. `masquerade` are domains whose hosts are hidden; local parts in `shown` are
    left out."""

    lookups: tuple[Lookup, ...] = ()
    local: Collection[str] = ()
    delimiter: str = "+"
    masquerade: tuple[str, ...] = ()
    shown: frozenset[str] = frozenset()

    def change(self, address: Address) -> Address:
        """The address as it is to be; raises MapError."""
        for key, tag in self._keys(address):
            for lookup in self.lookups:
                values = lookup(key)
                if isinstance(values, Awaitable):
                    raise MapError(f"{key}: the table does not answer at once")
                if values:
                    return _target(values[0], address, tag, key)
        return self._masqueraded(address)

    def _keys(self, address: Address) -> Iterator[tuple[str, str]]:
        """Each key with the tag that it leaves out."""
        if not self.lookups:
            return
        base, tag = self._split(address.local)
        names = [(fold(address.local), "")] + ([(fold(base), tag)] if tag else [])
        yield from ((f"{name}@{address.domain}", left) for name, left in names)
        if address.domain in self.local:
            yield from names
        yield f"@{address.domain}", ""

    def _split(self, local: str) -> tuple[str, str]:
        cut = min((place for sign in self.delimiter if (place := local.find(sign)) > 0), default=len(local))
        return local[:cut], local[cut:]

    def _masqueraded(self, address: Address) -> Address:
        if fold(address.local) in self.shown:
            return address
        for domain in self.masquerade:
            if address.domain.endswith(f".{domain}"):
                return Address(address.local, domain)
        return address


def _target(text: str, address: Address, tag: str, key: str) -> Address:
    try:
        target = parse_target(text)
    except TargetError as error:
        raise MapError(f"{key}: {error}") from None
    if target.nowhere or target.final:
        raise MapError(f"{key}: {text!r} is for aliases, not for maps")
    new = target.at(address)
    return Address(new.local + tag, new.domain) if target.local and tag else new


def masked(domains: Iterable[str]) -> tuple[str, ...]:
    """The domains with the longest first, so that the nearest is taken."""
    return tuple(sorted(domains, key=len, reverse=True))
