"""Which destination a domain's mail goes to, as far as it was found out: domains with the same mail exchangers, or of
one provider, are one site. What is not known yet is a destination of its own, under the domain's name.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Set

from relaygw.core.shaping import Providers

REMEMBERED = 50_000
"""Domains whose site is remembered."""

FRESH = 3600.0
"""Seconds for which it is believed; after that it is asked again, and believed until there is an answer."""

UNKNOWN = 60.0
"""Seconds until it is asked again where there was no answer."""


class Sites:
    """`now` answers seconds on any scale that only grows."""

    def __init__(self, providers: Providers, now: Callable[[], float]) -> None:
        self._providers = providers
        self._now = now
        self._sites: OrderedDict[str, tuple[str, float]] = OrderedDict()  # with the time until which it is fresh

    def site(self, domain: str) -> str:
        """The destination of a domain."""
        known = self._sites.get(domain)
        if known is not None:
            return known[0]
        provider = self._providers.of_domain(domain)
        if provider:
            self._remember(domain, provider, float("inf"))
        return provider or domain

    def domains_of(self, names: Set[str]) -> Iterable[str]:
        """The domains of sites with one of these names, or a host of it; what is not known is its own site."""
        yield from names
        for domain, (site, _) in self._sites.items():
            if site in names or not names.isdisjoint(site.split(",")):
                yield domain
        yield from self._providers.domains_of(names)

    def fresh(self, domain: str) -> bool:
        """Whether nothing need be asked. Of an address literal there is nothing more to know."""
        known = self._sites.get(domain)
        return domain.startswith("[") or (known is not None and self._now() < known[1])

    def learn(self, domain: str, exchanges: Iterable[str]) -> None:
        """The domain's mail exchangers; none: mail goes to the domain itself."""
        self._remember(domain, self._providers.site(exchanges) or domain, self._now() + FRESH)

    def missed(self, domain: str) -> None:
        """There was no answer."""
        self._remember(domain, self.site(domain), self._now() + UNKNOWN)

    def _remember(self, domain: str, site: str, until: float) -> None:
        self._sites.pop(domain, None)
        self._sites[domain] = site, until
        if len(self._sites) > REMEMBERED:
            self._sites.popitem(last=False)
