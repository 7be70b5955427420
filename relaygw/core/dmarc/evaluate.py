"""One message evaluated (RFC 9989 5.3), as an inquiry: author, policy, alignment, result.

More than one author's domain is no reason to look away: each is evaluated, and the strictest outcome counts (RFC 9989
5.3.1, 11.5), so that a second address does not switch DMARC off.
"""

from collections.abc import Iterable

import attrs

from relaygw.core import dkim, spf
from relaygw.core.author import Authors
from relaygw.core.dmarc.record import Policy, Record
from relaygw.core.dmarc.result import Evaluation, Identifier, Result
from relaygw.core.dmarc.walk import Found, Walker, WalkFailed
from relaygw.core.question import Inquiry

MAX_AUTHORS = 8
"""Domains of authors that are evaluated (RFC 9989 11.5); a message that names more is what the operator makes of it."""

_TEMPERROR = "temperror"


def evaluate(authors: Authors, spf_finding: spf.Finding | None, signatures: dkim.Findings) -> Inquiry[Evaluation]:
    """The evaluation of a message. `spf_finding` is that for the reverse-path, or for HELO where the path is null."""
    if authors.unread:
        return Evaluation(result=Result.PERMERROR, reason=authors.flaw, crowded=True)
    if not authors.domains:
        return Evaluation(result=Result.NONE, reason=authors.flaw or "From names no address")
    if len(authors.domains) > MAX_AUTHORS:
        reason = f"From names {len(authors.domains)} domains"
        return Evaluation(result=Result.PERMERROR, author=authors.domains[0], reason=reason, crowded=True)
    walker = Walker()
    identifiers = list(_identifiers(spf_finding, signatures))
    found = []
    for domain in authors.domains:
        found.append((yield from _Message(domain, identifiers, walker).evaluate()))
    chosen = max(found, key=_severity)
    if len(found) > 1:
        reason = "; ".join(filter(None, (f"From names {len(found)} domains, the strictest counts", chosen.reason)))
        others = tuple(each.author for each in found if each is not chosen and _severity(each) >= _ENFORCED)
        chosen = attrs.evolve(chosen, reason=reason, queries=walker.queries, others=others)
    return chosen if authors.fields == 1 else attrs.evolve(chosen, fields=authors.fields)


_ENFORCED = 5
"""From here on something is asked for, or may be."""


def _severity(evaluation: Evaluation) -> int:
    if evaluation.result is Result.FAIL:
        return {Policy.REJECT: 7, Policy.QUARANTINE: 6, Policy.NONE: 4}[evaluation.policy]
    if evaluation.result is Result.TEMPERROR:
        return 3 if evaluation.asks_for_nothing else 5
    return {Result.PERMERROR: 2, Result.NONE: 1}.get(evaluation.result, 0)


def _identifiers(spf_finding: spf.Finding | None, signatures: dkim.Findings) -> Iterable[Identifier]:
    """What was authenticated, or could not be for now, each not yet aligned (RFC 9989 5.3.3)."""
    if spf_finding is not None:
        yield Identifier(method="spf", domain=_name(spf_finding.domain), result=spf_finding.result.value, aligned=False)
    for each in signatures.signatures:
        if each.domain:
            yield Identifier(
                method="dkim", domain=each.domain, selector=each.selector, result=each.result.value, aligned=False
            )


def _told(identifier: Identifier, aligned: bool) -> Identifier:
    """The identifier with its alignment; made anew, as that is several times quicker than to evolve it."""
    return Identifier(
        method=identifier.method,
        domain=identifier.domain,
        result=identifier.result,
        aligned=aligned,
        selector=identifier.selector,
    )


def _name(domain: str) -> str:
    return domain.lower().removesuffix(".")


class _Message:
    """One author's domain of one message, on its way through RFC 9989 5.3."""

    def __init__(self, author: str, identifiers: list[Identifier], walker: Walker) -> None:
        self._author = author
        self._identifiers = identifiers
        self._walker = walker

    def evaluate(self) -> Inquiry[Evaluation]:
        found: Found | None = None
        try:
            found = yield from self._walker.policy(self._author)
            if found is None:
                return self._without_policy(Result.NONE, "no DMARC record applies")
            if found.record.flaw and not found.record.reports:  # RFC 9989 4.10.1
                return self._without_policy(Result.PERMERROR, f"the record of {found.domain}: {found.record.flaw}")
            return (yield from self._judge(found))
        except WalkFailed as failure:
            record, domain = (found.record, found.domain) if found is not None else (None, "")
            return Evaluation(
                result=Result.TEMPERROR,
                author=self._author,
                record=record,
                policy_domain=domain,
                reason=str(failure),
                queries=self._walker.queries,
            )

    def _without_policy(self, result: Result, reason: str) -> Evaluation:
        identifiers = tuple(_told(each, each.domain == self._author) for each in self._identifiers)
        return Evaluation(
            result=result,
            author=self._author,
            identifiers=identifiers,
            reason=reason,
            queries=self._walker.queries,
        )

    def _judge(self, found: Found) -> Inquiry[Evaluation]:
        """RFC 9989 5.3.4 to 5.3.6."""
        identifiers, late = yield from self._align(found.record)
        passed = any(each.passed for each in identifiers)
        published, tag = yield from self._published(found, ask=not passed and not late)
        result, reason = Result.PASS, ""
        if not passed:
            # RFC 9989 5.3.6: where something could not be checked, neither pass nor fail can be said.
            result, reason = (Result.TEMPERROR, late) if late else (Result.FAIL, _why_failed(identifiers))
        return Evaluation(
            result=result,
            author=self._author,
            organizational=self._walker.known(self._author),
            policy_domain=found.domain,
            record=found.record,
            tag=tag,
            published=published,
            policy=published.milder if found.record.testing else published,
            identifiers=identifiers,
            reason=reason,
            queries=self._walker.queries,
        )

    def _align(self, record: Record) -> Inquiry[tuple[tuple[Identifier, ...], str]]:
        """The identifiers, compared with the author's domain; and why another one may still align later, or ""."""
        identifiers, late = [], ""
        for each in self._identifiers:
            aligned = False
            try:
                aligned = yield from self._aligned(each, record)
            except WalkFailed as failure:
                late = late or str(failure)
            if aligned and each.result == _TEMPERROR:
                late = late or f"{each.method} of {each.domain} could not be checked now"
            identifiers.append(_told(each, aligned))
        return tuple(identifiers), late

    def _aligned(self, identifier: Identifier, record: Record) -> Inquiry[bool]:
        """RFC 9989 4.4, 4.10.2. What neither passed nor may still pass is not worth a question."""
        if identifier.domain == self._author:
            return True
        strict = record.strict_spf if identifier.method == "spf" else record.strict_dkim
        if strict or identifier.result not in ("pass", _TEMPERROR):
            return False
        organizational = yield from self._walker.organizational(self._author)
        if not _within(identifier.domain, organizational):
            return False
        return (yield from self._walker.organizational(identifier.domain)) == organizational

    def _published(self, found: Found, *, ask: bool) -> Inquiry[tuple[Policy, str]]:
        """The policy the owner asks for, and the tag it stands in (RFC 9989 4.10.1).

        `ask`: whether it is worth a question to know if the domain exists; only what fails needs to know.
        """
        record = found.record
        if record.flaw:  # there is somebody to report to: then as if p=none
            return Policy.NONE, "p"
        own = record.policy or Policy.NONE
        if found.domain == self._author:
            return own, "p"
        below = (record.subdomains, "sp") if record.subdomains is not None else (own, "p")
        if record.absent is None or record.absent is below[0] or not ask:
            return below
        if (yield from self._walker.exists(self._author)):
            return below
        return record.absent, "np"


def _within(domain: str, parent: str) -> bool:
    return domain == parent or domain.endswith("." + parent)


def _why_failed(identifiers: Iterable[Identifier]) -> str:
    told = [
        f"{each.method} {each.result} for {each.domain}" + ("" if each.aligned else ", not aligned")
        for each in identifiers
    ]
    return "; ".join(told) or "nothing was authenticated"
