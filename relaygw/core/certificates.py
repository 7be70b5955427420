"""Client certificates as logins see them: what is known of one, and the table that says whom it stands for. Pure."""

import hmac
from collections.abc import Iterable

import attrs


@attrs.frozen(kw_only=True)
class ClientCertificate:
    """`fingerprint` is the SHA-256 of the certificate in lower-case hex; `subject` its name as RFC 4514 writes it.

    `verified` tells that it leads to an authority of ours: only then its subject means anything.
    """

    fingerprint: str
    subject: str
    verified: bool


@attrs.frozen(kw_only=True)
class CertificateLogin:
    """Whoever holds the key of this certificate is `login`. One of the two others is given, the other is ""."""

    login: str
    fingerprint: str = ""
    subject: str = ""

    def fits(self, certificate: ClientCertificate) -> bool:
        """Whether it is the certificate meant."""
        if self.fingerprint:
            return hmac.compare_digest(self.fingerprint, certificate.fingerprint)
        return bool(self.subject) and certificate.verified and self.subject == certificate.subject


def login_of(table: Iterable[CertificateLogin], certificate: ClientCertificate) -> str:
    """The first login whose line fits, "" where none does."""
    return next((line.login for line in table if line.fits(certificate)), "")


def fingerprint(text: str) -> str:
    """The one spelling of a SHA-256 fingerprint, with or without colons; raises ValueError."""
    digits = text.replace(":", "").lower()
    if len(digits) != 64 or not set(digits) <= set("0123456789abcdef"):
        raise ValueError("not a SHA-256 fingerprint")
    return digits
