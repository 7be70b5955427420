"""What the DNS must say for the mail of a site, compared with what it says: inquiries that return Findings.

    finding    one finding, and the records to publish
    site       what the configuration says, and what follows from it
    host       our own name: addresses, PTR, SPF of HELO
    exchange   MX of a domain, and the hosts behind it
    sender     SPF of a domain
    signing    DKIM keys of a domain
    policy     DMARC record of a domain
    transport  MTA-STS and TLSRPT of a domain
    served     the MTA-STS policy that its web server gives out
    dane       TLSA of the hosts that are ours

Each inquiry stands for itself, so that they can be run together; a resolver with a cache shares their questions.
"""

from collections.abc import Sequence

from relaygw.core.dns_check.dane import check_certificates
from relaygw.core.dns_check.exchange import check_exchanges
from relaygw.core.dns_check.finding import Finding, Level, Published
from relaygw.core.dns_check.host import check_addresses, check_hello
from relaygw.core.dns_check.policy import check_policy
from relaygw.core.dns_check.sender import check_sender
from relaygw.core.dns_check.served import check_served, is_served
from relaygw.core.dns_check.signing import check_signing, is_unsigned
from relaygw.core.dns_check.site import Certificate, Key, Site
from relaygw.core.dns_check.transport import check_reports, check_strict_transport
from relaygw.core.question import Inquiry

__all__ = [
    "Certificate",
    "Finding",
    "Key",
    "Level",
    "Published",
    "Site",
    "check_served",
    "inquiries",
    "is_served",
    "is_unsigned",
]

_OF_DOMAIN = (
    check_exchanges,
    check_sender,
    check_signing,
    check_policy,
    check_strict_transport,
    check_reports,
    check_certificates,
)


def inquiries(site: Site, domains: Sequence[str]) -> tuple[Inquiry[tuple[Finding, ...]], ...]:
    """Everything there is to ask: about ourselves first, then about each domain, in the order it is told."""
    ours = (check_addresses(site), check_hello(site))
    return (*ours, *(check(site, domain) for domain in domains for check in _OF_DOMAIN))
