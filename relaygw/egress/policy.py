"""The TLS a host must show for a domain: the route's own word, else the table's, else the default; and what "may" comes
to where the domain has published more (RFC 7672 before RFC 8461, whose 2 lets nothing override DANE).

A Ruling is a value with its reasons. It holds until its records' time is over, so that most messages ask nobody.
"""

import os
from collections import OrderedDict
from collections.abc import Awaitable
from typing import Any

import attrs

from relaygw.bridge import resolve
from relaygw.config.schema import EgressConfig, TlsPolicyConfig
from relaygw.core.dane import Dane, DaneUnknown, NoDane, dane_for_host, signed_names, text
from relaygw.core.reply import Reply
from relaygw.core.sts import Mode, StsPolicy
from relaygw.core.tls_policy import TlsRule, rule_for
from relaygw.dns import consult
from relaygw.egress.broken import Broken, Phase, broken
from relaygw.egress.hop import Hop, TlsMode
from relaygw.egress.https import Https
from relaygw.egress.sts import PolicyFolder, StsFound, StsPolicies, fetch_by
from relaygw.interfaces import IResolver, Services

LONGEST = 300.0
"""Seconds a ruling is kept at most."""

MAX_KEPT = 5_000

FOLDER = "mta-sts"
"""Below the state directory."""


@attrs.frozen(kw_only=True)
class Ruling:
    """`hop` is what the conversation must keep to; `refusal` is why there must be none, "" where there may.

    For reports (RFC 8460 4.4): `kind` is "tlsa", "sts" or "no-policy-found", `policy` its lines, `patterns` the hosts
    it allows; `failure` is a fault of the policy itself. `permanent`: it will not do later either. `counted`: a refusal
    is the policy's, and not what one message wants.
    """

    domain: str
    hop: Hop
    why: str
    kind: str = "no-policy-found"
    policy: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    refusal: str = ""
    failure: str = ""
    ttl: float = LONGEST
    permanent: bool = False
    counted: bool = True

    def refused(self) -> Broken:
        result = (self.failure or "validation-failure") if self.counted else ""
        if self.permanent:
            return Broken(Phase.CONNECT, Reply(550, "5.7.10", self.refusal))
        return broken(Phase.CONNECT, "4.7.5", self.refusal, result=result)


class TlsPolicies:
    """Rules for one configuration."""

    def __init__(
        self, resolver: IResolver, egress: EgressConfig, rules: tuple[TlsRule, ...], clock: Any, sts: StsPolicies
    ) -> None:
        self._resolver = resolver
        self._egress = egress
        self._rules = rules
        self._clock = clock
        self._sts = sts
        self._kept: OrderedDict[tuple[str, str, Hop], tuple[float, Ruling]] = OrderedDict()

    def known(self, domain: str, host: str, hop: Hop) -> Ruling | None:
        """The ruling where it is at hand."""
        until, ruling = self._kept.get((domain, host, hop), (0.0, None))
        return ruling if ruling is not None and self._clock.seconds() < until else None

    def rule(self, domain: str, host: str, hop: Hop) -> "Ruling | Awaitable[Ruling]":
        """For mail to `domain` ("" where the operator named the host) by `host`; now or later."""
        return self.known(domain, host, hop) or self._remembered(domain, host, hop)

    def waived(self, domain: str, host: str, hop: Hop) -> "Ruling | None":
        """The ruling where the message wants nothing that the destination has published (RFC 8689 4.2.2), unless the
        operator has a word of his own; None: as for any other message."""
        hop, why = self._asked_for(domain, host, hop)
        if hop.tls is not TlsMode.MAY:
            return None
        return Ruling(domain=domain or host, hop=hop, why=f"{why}, and the message says TLS-Required: No")

    async def proven(self, ruling: Ruling, domain: str, host: str) -> Ruling:
        """For a message with REQUIRETLS (RFC 8689 4.2.1), whatever the policy is content with: signed MX records or an
        MTA-STS policy must name the host, and its certificate must be one for it."""
        proving = _proving(ruling)
        led_here = not domain or domain.startswith("[") or host == domain  # no MX record names it
        if ruling.refusal or led_here or await self._signed_names(domain):
            return proving
        found = await self._sts.find(domain) if self._egress.mta_sts else StsFound(why="MTA-STS is switched off")
        if found.policy is not None and found.policy.allows(host):
            return attrs.evolve(proving, kind="sts", policy=found.policy.lines(), patterns=found.policy.mx)
        why = found.why if found.policy is None else f"its policy (MTA-STS) does not name {host}"
        refusal = f"the message requires TLS (REQUIRETLS), but the MX records of {domain} are not signed, and {why}"
        return attrs.evolve(proving, refusal=refusal, permanent=not found.unknown, counted=False)

    async def _remembered(self, domain: str, host: str, hop: Hop) -> Ruling:
        ruling = await self._rule(domain, host, hop)
        if ruling.ttl > 0:
            self._kept[domain, host, hop] = self._clock.seconds() + min(ruling.ttl, LONGEST), ruling
            while len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
        return ruling

    async def _rule(self, domain: str, host: str, hop: Hop) -> Ruling:
        hop, why = self._asked_for(domain, host, hop)
        if hop.tls is TlsMode.DANE:
            return await self._must_be_dane(domain, host, hop, why)
        if hop.tls is TlsMode.STS:
            return await self._must_be_sts(domain, host, hop, why)
        if hop.tls is TlsMode.MAY and not hop.lmtp:
            return await self._as_published(domain, host, hop, why)
        return Ruling(domain=domain or host, hop=hop, why=why)

    def _asked_for(self, domain: str, host: str, hop: Hop) -> tuple[Hop, str]:
        """What the operator says."""
        if hop.by_route:
            return hop, f"the route says {hop.tls.value}"
        rule = rule_for(self._rules, domain or host, host)
        if rule is None:
            return hop, f"the default is {hop.tls.value}"
        evolved = attrs.evolve(
            hop,
            tls=TlsMode(rule.policy),
            fingerprints=rule.fingerprints,
            authorities=rule.authorities or hop.authorities,
        )
        return evolved, f"{rule.label} says {rule.policy}"

    async def _as_published(self, domain: str, host: str, hop: Hop, why: str) -> Ruling:
        """Opportunistic, unless the destination wants more (RFC 7672 2.2, RFC 8461 5)."""
        found: Dane | NoDane | DaneUnknown = NoDane(why="DANE is switched off", ttl=3600)
        if self._egress.dane:
            found = await self._dane(host, hop)
        if isinstance(found, DaneUnknown):
            return _not_now(domain, host, hop, found)
        if isinstance(found, Dane):
            return await self._held_to(found, domain, host, hop, f"{why}, but {found.base} has TLSA records")
        reasons = f"{why}; no DANE: {found.why}"
        # A negative answer may come without a TTL: it is asked for again soon, and the resolver remembers it.
        ttl = float(found.ttl) or 30.0
        if self._egress.mta_sts and _has_policies(domain):
            sts = await self._sts.find(domain)
            return _by_sts(sts, domain, host, attrs.evolve(hop, observed=False), f"{reasons}; MTA-STS: {sts.why}", ttl)
        return Ruling(domain=domain or host, hop=hop, why=reasons, ttl=ttl)

    async def _must_be_dane(self, domain: str, host: str, hop: Hop, why: str) -> Ruling:
        found = await self._dane(host, hop)
        if isinstance(found, DaneUnknown):
            return _not_now(domain, host, hop, found)
        if isinstance(found, NoDane) or not found.usable:
            reason = found.why if isinstance(found, NoDane) else "no TLSA record is usable"
            return Ruling(
                domain=domain or host,
                hop=hop,
                why=why,
                refusal=f"DANE is required for {host}, but {reason}",
                failure="dane-required",
                ttl=30.0,
            )
        if domain and not await self._signed_names(domain):
            refusal = f"DANE is required for {domain}, but its MX records are not signed"
            return Ruling(
                domain=domain, hop=hop, why=why, kind="tlsa", refusal=refusal, failure="dnssec-invalid", ttl=30.0
            )
        return await self._held_to(found, domain, host, hop, why)

    async def _held_to(self, found: Dane, domain: str, host: str, hop: Hop, why: str) -> Ruling:
        """Certificates below a named authority may be for the domain too, where signed records lead here."""
        names = await self._signed_names(domain) if domain else ()
        ruling = Ruling(
            domain=domain or host,
            hop=attrs.evolve(hop, tls=TlsMode.DANE, dane=found, names=names),
            why=why,
            kind="tlsa",
            policy=tuple(map(text, found.records)),
            patterns=(host,),
            ttl=float(found.ttl),
        )
        if found.usable:
            return ruling
        # RFC 7672 2.2: records that none of us can use still say that the host has TLS.
        return attrs.evolve(
            ruling,
            hop=attrs.evolve(hop, tls=TlsMode.ENCRYPT),
            why=f"{why}, none of them usable",
            failure="tlsa-invalid",
        )

    async def _must_be_sts(self, domain: str, host: str, hop: Hop, why: str) -> Ruling:
        found = await self._sts.find(domain) if _has_policies(domain) else StsFound(why="there is no domain to ask")
        if found.policy is None:
            return Ruling(
                domain=domain or host,
                hop=hop,
                why=why,
                refusal=f"a policy (MTA-STS) is required for {domain or host}, but {found.why}",
                failure=found.failure or "sts-policy-fetch-error",
                ttl=30.0,
            )
        # Whoever asks for it by name wants it kept, also while the domain is still testing.
        enforced = attrs.evolve(found.policy, mode=Mode.ENFORCE)
        return _by_sts(attrs.evolve(found, policy=enforced), domain, host, hop, f"{why}; {found.why}", LONGEST)

    async def _signed_names(self, domain: str) -> tuple[str, ...]:
        return await consult(signed_names(domain), self._resolver)

    async def _dane(self, host: str, hop: Hop) -> Dane | NoDane | DaneUnknown:
        inquiry = dane_for_host(host, hop.port, ipv4=self._egress.ipv4, ipv6=self._egress.ipv6)
        return await consult(inquiry, self._resolver)


def _proving(ruling: Ruling) -> Ruling:
    """Held to a proof of the host's name."""
    if ruling.hop.tls is TlsMode.DANE:
        return ruling
    return attrs.evolve(ruling, hop=attrs.evolve(ruling.hop, tls=TlsMode.VERIFY, observed=False))


def _not_now(domain: str, host: str, hop: Hop, found: DaneUnknown) -> Ruling:
    """RFC 7672 2.1.2: a host of which this cannot be known is as good as unreachable."""
    return Ruling(
        domain=domain or host,
        hop=hop,
        why=found.why,
        kind="tlsa",
        refusal=found.why,
        failure="dnssec-invalid",
        ttl=0.0,
    )


def _by_sts(found: StsFound, domain: str, host: str, hop: Hop, why: str, ttl: float) -> Ruling:
    policy = found.policy
    if policy is None:
        return Ruling(domain=domain, hop=hop, why=why, failure=found.failure, ttl=ttl)
    return _kept_to(policy, policy.allows(host), domain, host, hop, why, ttl)


def _kept_to(policy: StsPolicy, allowed: bool, domain: str, host: str, hop: Hop, why: str, ttl: float) -> Ruling:
    """RFC 8461 5: enforced, or only looked at."""
    ruling = Ruling(
        domain=domain, hop=hop, why=why, kind="sts", policy=policy.lines(), patterns=policy.mx, ttl=ttl
    )  # fmt: skip
    if policy.mode is Mode.TESTING:
        failure = "" if allowed else "validation-failure"
        return attrs.evolve(ruling, hop=attrs.evolve(hop, tls=TlsMode.MAY, observed=True), failure=failure)
    verified = attrs.evolve(ruling, hop=attrs.evolve(hop, tls=TlsMode.VERIFY))
    if allowed:
        return verified
    return attrs.evolve(
        verified, refusal=f"the policy of {domain} (MTA-STS) does not name {host}", failure="validation-failure"
    )


def _has_policies(domain: str) -> bool:
    return bool(domain) and not domain.startswith("[") and "." in domain


def tls_rules(table: tuple[TlsPolicyConfig, ...]) -> tuple[TlsRule, ...]:
    return tuple(
        TlsRule(
            label=f"tls_policy[{number}]",
            policy=each.policy,
            domains=each.domains,
            hosts=each.mx,
            fingerprints=each.fingerprints,
            authorities=each.ca_file or "",
        )
        for number, each in enumerate(table, 1)
    )


def make_policies(services: Services) -> TlsPolicies:
    """The policies of a configuration, with everything they need."""
    settings = services.settings
    folder = PolicyFolder(os.path.join(services.state, FOLDER))
    https = Https(services.reactor, services.resolver)
    sts = StsPolicies(
        services.resolver, folder, services.reactor, fetch_by(https), services.spawn, services.write_event
    )  # fmt: skip
    return TlsPolicies(services.resolver, settings.egress, tls_rules(settings.tls_policies), services.reactor, sts)


async def ruling_of(policies: TlsPolicies, domain: str, host: str, hop: Hop) -> Ruling:
    return await resolve(policies.rule(domain, host, hop))
