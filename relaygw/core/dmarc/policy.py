"""What a DMARC evaluation leads to: the operator's table of actions, the reply, and how it is told."""

from collections.abc import Callable, Collection, Mapping

import attrs

from relaygw.core import arc
from relaygw.core.arc.finding import may_vouch, vouched
from relaygw.core.client import IPAddress, Network, is_in
from relaygw.core.dmarc.record import Policy
from relaygw.core.dmarc.report import Override, OverrideType
from relaygw.core.dmarc.result import Evaluation, Result
from relaygw.core.permission import Domains
from relaygw.core.reply import Reply
from relaygw.core.verdict import Action, AuthResult
from relaygw.core.words import Word


class Case(Word):
    """What an action can be chosen for. The first three are messages that fail, by the policy to be applied."""

    REJECT = "reject"
    QUARANTINE = "quarantine"
    NONE = "none"
    PASS = "pass"  # noqa: S105
    ABSENT = "absent"  # no policy applies
    UNREADABLE = "unreadable"  # no author, or none that can be told
    CROWDED = "crowded"  # more in From than is looked at
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


DEFAULT_ACTIONS: Mapping[Case, Action] = {
    Case.REJECT: Action.REJECT,
    Case.QUARANTINE: Action.QUARANTINE,
    Case.NONE: Action.PASS,  # RFC 9989 5.4: p=none MUST NOT change what happens to mail
    Case.PASS: Action.PASS,
    Case.ABSENT: Action.PASS,
    Case.UNREADABLE: Action.PASS,
    # RFC 9989 11.5: a crowd of authors may be there to switch DMARC off for one of them; honest mail has none.
    Case.CROWDED: Action.REJECT,
    Case.TEMPERROR: Action.DEFER,
    Case.PERMERROR: Action.PASS,
}
"""What the owner of the domain asks for is done; what could not be found out now is asked again later."""


def case(evaluation: Evaluation) -> Case:
    """Which line of the table is meant."""
    if evaluation.crowded:
        return Case.CROWDED
    if evaluation.result is Result.FAIL:
        return {Policy.REJECT: Case.REJECT, Policy.QUARANTINE: Case.QUARANTINE}.get(evaluation.policy, Case.NONE)
    if evaluation.result is Result.NONE:
        return Case.ABSENT if evaluation.author else Case.UNREADABLE
    return Case(evaluation.result.value)


def line_of(evaluation: Evaluation, actions: Mapping[Case, Action]) -> Case:
    """The line that is acted by: where nothing is done to what fails, nothing need be found out, and no mail waits for
    a DNS that does not answer (RFC 9989 5.4)."""
    line = case(evaluation)
    if line is Case.TEMPERROR and evaluation.asks_for_nothing and actions[Case.NONE] is Action.PASS:
        return Case.NONE
    return line


@attrs.frozen(kw_only=True)
class Trust:
    """Who may send on what fails: clients in `forwarders`, and chains sealed by `sealers`."""

    forwarders: Collection[Network] = ()
    sealers: Domains = attrs.field(factory=Domains)


def override(
    evaluation: Evaluation, client: IPAddress | None, chain: arc.Findings | None, trust: Trust
) -> Override | None:
    """Why a message that fails is let through all the same, None where it is not."""
    if case(evaluation) not in (Case.REJECT, Case.QUARANTINE):
        return None
    if client is not None and is_in(client, trust.forwarders):
        return Override(OverrideType.TRUSTED_FORWARDER, f"{client} is one of our forwarders")
    sealer = _vouched(vouched, evaluation, chain, trust) if chain is not None else ""
    # RFC 9990 has no type of its own for it.
    return Override(OverrideType.LOCAL_POLICY, f"arc=pass, and {sealer} saw dmarc=pass") if sealer else None


def is_open(evaluation: Evaluation, chain: arc.Findings | None, trust: Trust) -> bool:
    """Whether a message that fails may be let through later: RFC 8617 5.2.1 calls each chain broken that the DNS does
    not let us check, but that is no reason to refuse for good what a whole one would let through."""
    if chain is None or not chain.temporary or case(evaluation) not in (Case.REJECT, Case.QUARANTINE):
        return False
    return bool(_vouched(may_vouch, evaluation, chain, trust))


def _vouched(
    asked: Callable[[arc.Findings, Domains, str], str], evaluation: Evaluation, chain: arc.Findings, trust: Trust
) -> str:
    """The sealer who stands in for the author. Somebody may have put a second author beside the one that was sealed: it
    takes one for each, and a From field that stands twice is nobody's (RFC 5322 3.6)."""
    if evaluation.fields != 1:
        return ""
    sealers = [asked(chain, trust.sealers, author) for author in (evaluation.author, *evaluation.others)]
    return sealers[0] if all(sealers) else ""


def reply_for(evaluation: Evaluation, action: Action) -> Reply | None:
    """What the peer reads, None where the action refuses nothing."""
    if action is Action.REJECT:
        # RFC 7372 has no code for DMARC; X.7.1 is what RFC 9989 8.3 shows.
        return Reply(550, "5.7.1", _text(evaluation))
    if action is Action.DEFER:
        return Reply(451, "4.7.1", _text(evaluation))
    return None


def _text(evaluation: Evaluation) -> str:
    if evaluation.result is Result.FAIL:
        return f"DMARC: this message is not from {evaluation.author}, whose policy is {evaluation.policy.value}"
    if evaluation.crowded:
        return f"DMARC: {evaluation.reason}, too many to tell who it is from"
    if evaluation.result is Result.TEMPERROR:
        what = "the policy of" if evaluation.record is None else "whether this message is from"
        return f"DMARC: {what} {evaluation.author} cannot be checked now"
    return f"DMARC: {evaluation.result.value} for {evaluation.author or 'a message without an author'}"


def auth_result(evaluation: Evaluation) -> AuthResult:
    """For Authentication-Results (RFC 8601 2.7, RFC 9989 10.2)."""
    given = [("header.from", evaluation.author)] if evaluation.author else []
    if evaluation.record is not None:
        given.append(("policy.dmarc", evaluation.policy.value))
    return AuthResult(method="dmarc", result=evaluation.result.value, reason=evaluation.reason, properties=tuple(given))


def summary(evaluation: Evaluation) -> str:
    """One line for the journal."""
    words = [f"{evaluation.author or 'no author'}: {evaluation.result.value}"]
    if evaluation.record is not None:
        testing = ", t=y" if evaluation.record.testing else ""
        words.append(f"{evaluation.tag}={evaluation.published.value} at {evaluation.policy_domain}{testing}")
        if evaluation.record.flaw:
            words.append(f"taken for p=none, as {evaluation.record.flaw}")
    if evaluation.reason:
        words.append(evaluation.reason)
    return "; ".join(words)
