"""Patterns for addresses, as they stand in a match: an address, a domain, ".domain" (any depth below), "local",
"relay" (the configured domains) and, for a sender, "<>". A domain may be written "@domain", as tables of other servers
have it. Anything else is one PatternError. Case never matters.
"""

from collections.abc import Collection, Iterable, Sequence

import attrs

from relaygw.core.address import Address, AddressError, normalize_domain, parse_address


class PatternError(ValueError):
    """The text is not a pattern; the message says what is wrong with it."""


@attrs.frozen(kw_only=True)
class Patterns:
    """A list of patterns of which one must match. `addresses` and `domains` hold the pattern each entry came from.

    `suffixes` start with a dot. `null` is the null reverse-path.
    """

    addresses: dict[str, str]
    domains: dict[str, str]
    suffixes: tuple[str, ...] = ()
    null: bool = False

    def match(self, address: Address | None) -> str:
        """The pattern that matches, as it was written; "" where none does."""
        if address is None:
            return "<>" if self.null else ""
        if self.addresses and (found := self.addresses.get(_key(address))):
            return found
        return self.match_domain(address.domain)

    def match_domain(self, domain: str) -> str:
        """The same where only a domain is known: patterns that are addresses do not match."""
        if found := self.domains.get(domain):
            return found
        return next((suffix for suffix in self.suffixes if domain.endswith(suffix)), "")

    def covers(self, other: "Patterns") -> bool:
        """Whether everything the other list matches is matched here."""
        return (
            (self.null or not other.null)
            and all(self._covers_domain(domain) for domain in other.domains)
            and all(any(suffix.endswith(mine) for mine in self.suffixes) for suffix in other.suffixes)
            and all(key in self.addresses or self._covers_domain(key.rpartition("@")[2]) for key in other.addresses)
        )

    def _covers_domain(self, domain: str) -> bool:
        return domain in self.domains or any(domain.endswith(suffix) for suffix in self.suffixes)

    @property
    def empty(self) -> bool:
        """Whether nothing at all can match, as with "local" where no domain is local."""
        return not (self.addresses or self.domains or self.suffixes or self.null)


def of_domains(listed: Iterable[str]) -> Patterns:
    """Patterns for these domains, in lower case, and for what is below those that begin with a dot."""
    each = tuple(listed)
    domains = {domain: domain for domain in each if not domain.startswith(".")}
    return Patterns(addresses={}, domains=domains, suffixes=tuple(text for text in each if text.startswith(".")))


def any_of(listed: Sequence[Patterns]) -> Patterns:
    """What one of them matches."""
    return Patterns(
        addresses={key: text for each in listed for key, text in each.addresses.items()},
        domains={key: text for each in listed for key, text in each.domains.items()},
        suffixes=tuple(dict.fromkeys(suffix for each in listed for suffix in each.suffixes)),
        null=any(each.null for each in listed),
    )


def is_among(domain: str, listed: Iterable[str]) -> bool:
    """Whether a domain, in lower case, is one of these or below one of those that begin with a dot."""
    return any(domain.endswith(each) if each.startswith(".") else domain == each for each in listed)


def _key(address: Address) -> str:
    return f"{address.local.casefold()}@{address.domain}"


def compile_patterns(texts: Iterable[str], groups: dict[str, Collection[str]]) -> Patterns:
    """The patterns; `groups` are the names that stand for domains ("local", "relay"). Raises PatternError."""
    addresses: dict[str, str] = {}
    domains: dict[str, str] = {}
    suffixes: list[str] = []
    null = False
    for text in texts:
        if text.startswith("*"):  # allowed in a local part, and never meant as that
            domain = text.lstrip("*").removeprefix("@").removeprefix(".") or "example.com"
            raise PatternError(f"{text!r} is not a pattern: a domain is {domain!r}, and all below it {'.' + domain!r}")
        if text == "<>":
            null = True
        elif text.startswith("<"):  # as journals of other servers have addresses
            raise PatternError(f"{text!r} is not a pattern: it is written without angle brackets")
        elif text in groups:
            domains.update({_domain(domain, domain): text for domain in groups[text]})
        elif text.startswith("@"):
            domains[_domain(text[1:], text)] = text
        elif "@" in text:
            addresses[_key(_address(text))] = text
        elif text.startswith("."):
            suffixes.append("." + _domain(text[1:], text))
        else:
            domains[_domain(text, text)] = text
    return Patterns(addresses=addresses, domains=domains, suffixes=tuple(suffixes), null=null)


def _address(text: str) -> Address:
    try:
        return parse_address(text)
    except AddressError as error:
        raise PatternError(f"{text!r} is not a pattern: {error}") from None


def _domain(domain: str, text: str) -> str:
    try:
        return normalize_domain(domain)
    except AddressError as error:
        raise PatternError(f"{text!r} is not a pattern: {error}") from None
