"""The whole evaluation of one message, as the filters make it."""

from collections.abc import Mapping
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import Deferred

from relaygw.bridge import as_deferred
from relaygw.config.schema import Config
from relaygw.core import dkim, dmarc
from relaygw.core.address import Address
from relaygw.core.author import Authors, read_authors
from relaygw.core.client import IPAddress
from relaygw.core.content import Content
from relaygw.core.dkim.check import DEFAULT_POLICY
from relaygw.core.iprev import IprevFinding, check_iprev
from relaygw.core.question import Inquiry
from relaygw.core.spf import Finding as SpfFinding
from relaygw.core.spf import check_hello, check_mail_from
from relaygw.dns import consult
from relaygw.interfaces import IResolver

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class Policies:
    """What the operator makes of signatures, as the filters have it."""

    signatures: dkim.Policy = DEFAULT_POLICY


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
    """What was found. `hello`, `mail_from` and `iprev` are None where the case does not say enough to ask."""

    authors: Authors
    signatures: dkim.Findings
    judged: dmarc.Evaluation
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
    from relaygw.plugins import structure_options

    options = structure_options(DkimOptions, _options(config, "dkim"))
    return Policies(
        signatures=dkim.Policy(
            signatures=options.signatures, partial_body=options.partial_body, clock_skew=int(options.clock_skew)
        )
    )


def _options(config: Config | None, use: str) -> Mapping[str, Any]:
    return next((each.options for each in config.filters if each.use == use), {}) if config is not None else {}


async def evaluate(case: Case, resolver: IResolver) -> Evaluation:
    """Everything, asked together where nothing depends on another."""
    hello = _begin(_hello(case), resolver)
    mail_from = _begin(_mail_from(case), resolver)
    reverse = _begin(check_iprev(case.client) if case.client is not None else None, resolver)
    signed = _begin(dkim.verify(case.content, case.now, case.policies.signatures), resolver)
    found_hello, found_mail_from, found_reverse, signatures = await hello, await mail_from, await reverse, await signed
    assert signatures is not None
    authors = read_authors(case.content.head)
    judged = await consult(dmarc.evaluate(authors, found_mail_from or found_hello, signatures), resolver)
    return Evaluation(
        authors=authors,
        signatures=signatures,
        judged=judged,
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
