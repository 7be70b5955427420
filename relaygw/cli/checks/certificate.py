"""The certificate: in time, for our name, from somebody clients trust. That it can be read and fits its key is found
when the parts of the service are made.
"""

import datetime
import ipaddress
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from relaygw.cli.checks.finding import Finding, error, warning
from relaygw.config.schema import Config

SOON = datetime.timedelta(days=30)
OPTION = "tls.certificate"


def check(config: Config) -> Iterator[Finding]:
    if config.tls.minimum_version in ("TLSv1", "TLSv1.1"):
        yield warning(
            "tls.minimum_version", f"{config.tls.minimum_version} is broken (RFC 8996)", 'set it to "TLSv1.2"'
        )
    if config.tls.certificate is None:
        return
    try:
        certificate = x509.load_pem_x509_certificates(Path(config.tls.certificate).read_bytes())[0]
    except (OSError, ValueError):
        return  # told where the parts are made
    yield from _in_time(certificate, datetime.datetime.now(datetime.UTC))
    yield from _for_us(certificate, config.hostname)
    if certificate.issuer == certificate.subject:
        advice = "before others rely on it, get one from an authority, for example by ACME"
        yield warning(OPTION, "it is self-signed: clients trust it only where they are told to", advice)


def _in_time(certificate: x509.Certificate, now: datetime.datetime) -> Iterator[Finding]:
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < first:
        yield error(OPTION, f"it is not valid before {first:%Y-%m-%d %H:%M} UTC", "look at this machine's clock")
    elif now > last:
        yield error(OPTION, f"it expired on {last:%Y-%m-%d}", "renew it")
    elif last - now < SOON:
        yield warning(OPTION, f"it expires on {last:%Y-%m-%d}", "renew it")


def _for_us(certificate: x509.Certificate, hostname: str) -> Iterator[Finding]:
    names = certificate_names(certificate)
    parent = "*." + hostname.partition(".")[2]
    if hostname not in names and parent not in names:
        listed = ", ".join(names) or "nothing"
        yield warning(OPTION, f"it is for {listed}, and not for our hostname {hostname}", "clients will refuse it")


def certificate_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """DNS names in lower case and IP addresses of the certificate."""
    try:
        extension = certificate.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
    except x509.ExtensionNotFound:
        return ()
    assert isinstance(extension, x509.SubjectAlternativeName)
    names = [name.lower() for name in extension.get_values_for_type(x509.DNSName)]
    addresses: list[ipaddress.IPv4Address | ipaddress.IPv6Address] = extension.get_values_for_type(x509.IPAddress)  # type: ignore[assignment]  # certificates of servers hold addresses, never networks
    return (*names, *map(str, addresses))
