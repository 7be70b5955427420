"""The certificates: in time, for our name, complete up to somebody clients trust. That each can be read and fits its
key is found when the parts of the service are made.
"""

import datetime
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from OpenSSL import SSL, crypto

from relaygw.cli.checks.finding import Finding, error, warning
from relaygw.config.schema import Config
from relaygw.tls import certificate_names

SOON = datetime.timedelta(days=30)
OPTION = "tls.certificate"

_NO_ISSUER = frozenset({2, 20, 21})
"""OpenSSL's words for a chain that leads nowhere it knows."""


def check(config: Config) -> Iterator[Finding]:
    if config.tls.minimum_version in ("TLSv1", "TLSv1.1"):
        yield warning(
            "tls.minimum_version", f"{config.tls.minimum_version} is broken (RFC 8996)", 'set it to "TLSv1.2"'
        )
    for option, path in _files(config):
        yield from _file(option, path, config.hostname if option == OPTION else "")


def _files(config: Config) -> Iterator[tuple[str, str]]:
    """Every certificate of ours, with the option that names it."""
    if config.tls.certificate is not None:
        yield OPTION, config.tls.certificate
    for number, each in enumerate(config.tls.certificates, 1):
        yield f"tls.certificates[{number}].certificate", each.certificate


def _file(option: str, path: str, hostname: str) -> Iterator[Finding]:
    try:
        chain = x509.load_pem_x509_certificates(Path(path).read_bytes())
    except (OSError, ValueError):
        return  # told where the parts are made
    for place, certificate in enumerate(chain):
        yield from _in_time(option, certificate, datetime.datetime.now(datetime.UTC), place)
    yield from _for_us(option, chain[0], hostname)
    if chain[0].issuer == chain[0].subject:
        advice = "before others rely on it, get one from an authority, for example by ACME"
        yield warning(option, "it is self-signed: clients trust it only where they are told to", advice)
    else:
        yield from _complete(option, chain)


def _in_time(option: str, certificate: x509.Certificate, now: datetime.datetime, place: int) -> Iterator[Finding]:
    """Ours, and those above it: one that has expired up there breaks it just as well."""
    what = "it" if place == 0 else f"the certificate above it, {certificate.subject.rfc4514_string()},"
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < first:
        yield error(option, f"{what} is not valid before {first:%Y-%m-%d %H:%M} UTC", "look at this machine's clock")
    elif now > last:
        yield error(option, f"{what} expired on {last:%Y-%m-%d}", "renew it")
    elif last - now < SOON:
        yield warning(option, f"{what} expires on {last:%Y-%m-%d}", "renew it")


def _for_us(option: str, certificate: x509.Certificate, hostname: str) -> Iterator[Finding]:
    """The first certificate is for our hostname; the others are for names of their own, but for some."""
    names = certificate_names(certificate)
    parent = "*." + hostname.partition(".")[2]
    if hostname and hostname not in names and parent not in names:
        listed = ", ".join(names) or "nothing"
        yield warning(option, f"it is for {listed}, and not for our hostname {hostname}", "clients will refuse it")
    elif not names:
        yield warning(option, "it has no name that a client could ask for", "get one with subjectAltName")


def _complete(option: str, chain: Sequence[x509.Certificate]) -> Iterator[Finding]:
    """RFC 8446 4.4.2: each certifies the one before it, up to a root that clients have themselves."""
    for below, above in itertools.pairwise(chain):
        try:
            below.verify_directly_issued_by(above)
        except (ValueError, TypeError, InvalidSignature):
            message = f"{above.subject.rfc4514_string()} did not certify {below.subject.rfc4514_string()} before it"
            yield error(option, message, "put our certificate first, then each one's issuer")
            return
    if chain[-1].issuer != chain[-1].subject and _leads_nowhere(chain):
        message = f"the chain is incomplete: it ends before {chain[-1].issuer.rfc4514_string()}, which is no known root"
        yield warning(option, message, "append the intermediate certificates that the authority gave with it")


def _leads_nowhere(chain: Sequence[x509.Certificate]) -> bool:
    """Whether the issuer of the last one is unknown to this machine, as it may be to clients."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_default_verify_paths()
    store = context.get_cert_store()
    assert store is not None, "a context has a store from the beginning"
    last = crypto.X509.from_cryptography(chain[-1])
    try:
        crypto.X509StoreContext(store, last).verify_certificate()
    except crypto.X509StoreContextError as failure:
        return bool(failure.errors and failure.errors[0] in _NO_ISSUER)
    return False
