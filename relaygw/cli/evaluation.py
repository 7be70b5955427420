"""The whole evaluation of one message, as the filters make it."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import Deferred

from relaygw.bridge import as_deferred
from relaygw.config.schema import Config
from relaygw.core import arc, dkim, dmarc
from relaygw.core.address import Address
from relaygw.core.author import Authors, read_authors
from relaygw.core.client import IPAddress
from relaygw.core.content import Content
from relaygw.core.dkim.check import DEFAULT_POLICY
from relaygw.core.dmarc.policy import DEFAULT_ACTIONS, Trust, is_open, line_of, override
from relaygw.core.dmarc.policy import Case as DmarcCase
from relaygw.core.iprev import IprevFinding, check_iprev
from relaygw.core.question import Inquiry
from relaygw.core.spf import Finding as SpfFinding
from relaygw.core.spf import Identity, check_hello, check_mail_from
from relaygw.core.spf.policy import DEFAULT_ACTIONS as SPF_ACTIONS
from relaygw.core.spf.policy import Actions as SpfActions
from relaygw.core.spf.policy import action_for
from relaygw.core.spf.result import Findings as SpfFindings
from relaygw.core.verdict import Action
from relaygw.dns import consult
from relaygw.interfaces import IResolver

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class Policies:
    """What the operator makes of what is found, as the filters `spf`, `dkim` and `dmarc` have it."""

    spf: SpfActions = attrs.field(factory=lambda: dict.fromkeys(Identity, SPF_ACTIONS))
    signatures: dkim.Policy = DEFAULT_POLICY
    actions: Mapping[DmarcCase, Action] = DEFAULT_ACTIONS
    trust: Trust = attrs.field(factory=Trust)


@attrs.frozen(kw_only=True)
class Case:
    """A message and how it came. `client` None and `hello` "" are not known; `sender` None is the null reverse-path.

    `receiver` is our name, `now` in POSIX seconds.
    """

    content: Content
    client: IPAddress | None
    hello: str
    sender: Address | None
    receiver: str
    now: float
    policies: Policies = Policies()


@attrs.frozen(kw_only=True)
class Evaluation:
    """What was found. `hello`, `mail_from` and `iprev` are None where the case does not say enough to ask.

    `spf_action` is what SPF leads to, `action` what DMARC does, by `line` of its table; `override` says why that is
    milder than the domain's owner asks for, or is "".
    """

    authors: Authors
    signatures: dkim.Findings
    judged: dmarc.Evaluation
    line: DmarcCase
    chain: arc.Findings
    action: Action
    spf_action: Action = Action.PASS
    override: str = ""
    hello: SpfFinding | None = None
    mail_from: SpfFinding | None = None
    iprev: IprevFinding | None = None

    @property
    def spf(self) -> SpfFinding | None:
        """What speaks for the sender: HELO does where the reverse-path is null (RFC 7208 2.4)."""
        return self.mail_from or self.hello


def policies(config: Config | None) -> Policies:
    """Those of the first use of each filter; the defaults where it is not used."""
    from relaygw.filters.dkim import DkimOptions
    from relaygw.filters.dmarc import DmarcOptions
    from relaygw.filters.spf import SpfOptions, actions_of
    from relaygw.plugins import structure_options

    signing = structure_options(DkimOptions, _options(config, "dkim"))
    judging = structure_options(DmarcOptions, _options(config, "dmarc"))
    return Policies(
        spf=actions_of(structure_options(SpfOptions, _options(config, "spf"))),
        signatures=signing.policy(),
        actions=judging.table(),
        trust=judging.trust(),
    )


def without_effect(config: Config) -> Iterator[str]:
    """Why what filters would do is not what the service does."""
    for name in ("spf", "dmarc"):
        uses = [each for each in config.filters if each.use == name]
        if not uses:
            yield f"the configuration does not use the filter {name}: its action is only what it would do by default"
        elif uses[0].mode == "shadow":
            yield f"the filter {name} is in shadow mode: its action is only what it would do"


def _options(config: Config | None, use: str) -> Mapping[str, Any]:
    return next((each.options for each in config.filters if each.use == use), {}) if config is not None else {}


async def evaluate(case: Case, resolver: IResolver) -> Evaluation:
    """Everything, asked together where nothing depends on another."""
    hello = _begin(_hello(case), resolver)
    mail_from = _begin(_mail_from(case), resolver)
    reverse = _begin(check_iprev(case.client) if case.client is not None else None, resolver)
    signed = _begin(dkim.verify(case.content, case.now, case.policies.signatures), resolver)
    sealed = _begin(arc.verify(case.content), resolver)
    found_hello, found_mail_from, found_reverse = await hello, await mail_from, await reverse
    signatures, chain = await signed, await sealed
    assert signatures is not None
    assert chain is not None
    authors = read_authors(case.content.head)
    judged = await consult(dmarc.evaluate(authors, found_mail_from or found_hello, signatures), resolver)
    spared = override(judged, case.client, chain, case.policies.trust)
    waits = is_open(judged, chain, case.policies.trust)
    line = DmarcCase.TEMPERROR if waits else line_of(judged, case.policies.actions)
    return Evaluation(
        line=line,
        spf_action=action_for(SpfFindings(hello=found_hello, mail_from=found_mail_from), case.policies.spf),
        action=Action.PASS if spared is not None else case.policies.actions[line],
        override=spared.comment if spared is not None else "",
        authors=authors,
        signatures=signatures,
        judged=judged,
        chain=chain,
        hello=found_hello,
        mail_from=found_mail_from,
        iprev=found_reverse,
    )


def _begin(inquiry: Inquiry[T] | None, resolver: IResolver) -> Deferred[T | None]:
    return as_deferred(_consult(inquiry, resolver))


async def _consult(inquiry: Inquiry[T] | None, resolver: IResolver) -> T | None:
    return await consult(inquiry, resolver) if inquiry is not None else None


def _hello(case: Case) -> Inquiry[SpfFinding] | None:
    if case.client is None or not case.hello:
        return None
    return check_hello(client=case.client, hello=case.hello, receiver=case.receiver, now=case.now)


def _mail_from(case: Case) -> Inquiry[SpfFinding] | None:
    if case.client is None or case.sender is None:
        return None
    return check_mail_from(
        client=case.client, sender=case.sender, hello=case.hello, receiver=case.receiver, now=case.now
    )
