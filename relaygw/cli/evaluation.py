"""The whole evaluation of one message, as the filters make it."""

from collections.abc import Mapping
from typing import TypeVar

import attrs
from twisted.internet.defer import Deferred

from relaygw.bridge import as_deferred
from relaygw.cli.answer import UsageError
from relaygw.config.schema import Config, FilterConfig
from relaygw.core import arc, dkim, dmarc
from relaygw.core.address import Address
from relaygw.core.author import Authors, read_authors
from relaygw.core.client import IPAddress, is_inside
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
from relaygw.plugins import OptionsError, structure_options

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

    signing = options_of(DkimOptions, first_use(config, "dkim"))
    judging = options_of(DmarcOptions, first_use(config, "dmarc"))
    return Policies(
        spf=actions_of(options_of(SpfOptions, first_use(config, "spf"))),
        signatures=signing.policy(),
        actions=judging.table(),
        trust=judging.trust(),
    )


def first_use(config: Config | None, name: str) -> FilterConfig | None:
    """The one whose options count here."""
    return next((each for each in config.filters if each.use == name), None) if config is not None else None


def options_of(shape: type[T], use: FilterConfig | None) -> T:
    """Those of a use, or the defaults; raises UsageError."""
    try:
        return structure_options(shape, use.options if use is not None else {})
    except OptionsError as error:
        assert use is not None  # the defaults are right
        raise UsageError(f"the options of the filter {use.name or use.use} cannot be used: {error}") from None


async def evaluate(case: Case, resolver: IResolver) -> Evaluation:
    """Everything, asked together where nothing depends on another."""
    hello = _begin(_hello(case), resolver)
    mail_from = _begin(_mail_from(case), resolver)
    reverse = _begin(_reverse(case), resolver)
    signed = _begin(dkim.verify(case.content, case.now, case.policies.signatures), resolver)
    sealed = _begin(arc.verify(case.content, case.now), resolver)
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


def _reverse(case: Case) -> Inquiry[IprevFinding] | None:
    """As the filter: of private addresses the DNS of the world knows nothing."""
    return check_iprev(case.client) if case.client is not None and not is_inside(case.client) else None


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
