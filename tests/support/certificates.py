"""Certificates for tests: an authority, and what it issues for names, subjects and times."""

import datetime
from pathlib import Path

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from relaygw.config.schema import CertificateConfig

DAY = datetime.timedelta(days=1)


@attrs.frozen
class Issued:
    """A certificate and its key, in memory."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def fingerprint(self) -> str:
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    def write(self, folder: Path, name: str, *chain: "Issued") -> CertificateConfig:
        """The two files, with what else belongs to the chain."""
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.pem").write_bytes(b"".join(each.pem for each in (self, *chain)))
        key = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (folder / f"{name}.key").write_bytes(key)
        (folder / f"{name}.key").chmod(0o600)
        return CertificateConfig(certificate=str(folder / f"{name}.pem"), private_key=str(folder / f"{name}.key"))


def issue(subject: str, *names: str, issuer: Issued | None = None, authority: bool = False, days: int = 90) -> Issued:
    """A certificate by an issuer, or by itself; `names` are its DNS names."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 9 * DAY)
        .not_valid_after(now + days * DAY)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in names]), False)
    return Issued(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)
