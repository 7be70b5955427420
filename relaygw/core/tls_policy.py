"""Which TLS the operator wants for which destination: a table read from the top, of which the first line that fits
counts. Pure.
"""

from collections.abc import Iterable

import attrs

from relaygw.core.patterns import is_among


@attrs.frozen(kw_only=True)
class TlsRule:
    """All conditions given must hold: the recipient's domain, the next hop's name; ".example.com" is all below it.

    `policy` is the configuration's word. `label` is how people find it in the file.
    """

    label: str
    policy: str
    domains: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    fingerprints: tuple[str, ...] = ()
    authorities: str = ""

    def fits(self, domain: str, host: str) -> bool:
        return (not self.domains or _among(domain, self.domains)) and (not self.hosts or _among(host, self.hosts))


def rule_for(rules: Iterable[TlsRule], domain: str, host: str) -> TlsRule | None:
    """The line that counts for mail to this domain by this host; None where none does."""
    return next((rule for rule in rules if rule.fits(domain, host)), None)


def _among(name: str, patterns: tuple[str, ...]) -> bool:
    return is_among(name.lower().removesuffix("."), patterns)
