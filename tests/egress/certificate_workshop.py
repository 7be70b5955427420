"""Authorities and certificates for the tests of egress, and handshakes in memory with them."""

import datetime
import ipaddress
from pathlib import Path
from typing import Any

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from handshakes import agree
from OpenSSL import SSL

from relaygw.egress.tls import ClientCreator

NAME = "mx.example.org"
_PEM = serialization.Encoding.PEM


@attrs.frozen
class Made:
    """A certificate with its key, and those that lead on from it."""

    certificate: x509.Certificate
    key: Any
    chain: tuple[x509.Certificate, ...] = ()

    def write(self, folder: Path, name: str) -> tuple[str, str]:
        """The paths of the chain and of the key."""
        certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
        certificate.write_bytes(b"".join(each.public_bytes(_PEM) for each in (self.certificate, *self.chain)))
        form = serialization.PrivateFormat.PKCS8
        key.write_bytes(self.key.private_bytes(_PEM, form, serialization.NoEncryption()))
        return str(certificate), str(key)


def make(
    name: str = NAME,
    by: Made | None = None,
    *,
    authority: bool = False,
    days: int = 2,
    names: tuple[str, ...] = (),
    starts: int = -1,
    key: Any = None,
    alternatives: bool = True,
    usage: x509.ObjectIdentifier | None = None,
    raw_names: bytes = b"",
) -> Made:
    """A certificate for `days` days from the day `starts`, -1 being yesterday (1 day or less: expired), self-signed or
    `by` an authority. `names` may be IP addresses; without `alternatives` it has a common name alone; `raw_names` are
    names in DER as nobody should write them."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    start = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=starts, minutes=-1)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if raw_names:
        builder = builder.add_extension(x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, raw_names), False)
    elif not authority and alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(list(map(_general, names or (name,)))), False)
    if usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    certificate = builder.sign(by.key if by else key, hashes.SHA256())
    return Made(certificate, key, (by.certificate, *by.chain) if by else ())


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def server_context(made: Made, versions: tuple[int, int] | None = None) -> SSL.Context:
    """`versions` are the lowest and the highest; with them, and for weak keys, everything is allowed."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    if versions is not None:
        context.set_cipher_list(b"DEFAULT:@SECLEVEL=0")
        context.set_min_proto_version(versions[0])
        context.set_max_proto_version(versions[1])
    context.use_certificate(made.certificate)
    for extra in made.chain:
        context.add_extra_chain_cert(extra)
    context.use_privatekey(made.key)
    return context


def shake_hands(creator: ClientCreator, context: SSL.Context) -> SSL.Connection:
    """The client's side of a handshake with a server of this context; raises SSL.Error."""
    client = creator.clientConnectionForTLS(None)  # type: ignore[arg-type]  # it looks at no protocol
    client.set_app_data(creator)  # as Twisted does, with something of its own
    server = SSL.Connection(context, None)
    agree(server, client)
    return client
