"""Signed assertions (RFC 7523): a program that proves who it is by a key instead of a secret.

Google's service accounts sign for the mailbox they act for; Microsoft's applications sign with the key of a certificate
that is registered with them. The key is read for one request and kept nowhere.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from relaygw.core.oauth import OauthError

LIFETIME = 300
"""Seconds a signed assertion is good for (Google takes an hour at most, Microsoft advises minutes)."""


def service_account(document: str, token_url: str, scope: str, subject: str, now: float) -> str:
    """The assertion of a service account for a mailbox; `document` is the JSON that Google made for it."""
    try:
        told = json.loads(document)
        email, key, key_id = told["client_email"], told["private_key"], told.get("private_key_id", "")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise OauthError("the key file is not the JSON of a service account", permanent=True) from None
    claims = {"iss": email, "sub": subject, "scope": scope, "aud": token_url, **_times(now)}
    header = {"alg": "RS256", "typ": "JWT"} | ({"kid": key_id} if key_id else {})
    return _signed(header, claims, _key(str(key)))


def application(pem: str, client_id: str, token_url: str, identity: str, now: float) -> str:
    """The assertion of an application; `pem` holds its private key and its certificate, `identity` is new each time."""
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode("utf-8"))
    except ValueError:
        raise OauthError("the key file holds no certificate beside the key", permanent=True) from None
    der = certificate.public_bytes(Encoding.DER)
    header = {"alg": "PS256", "typ": "JWT", "x5t#S256": _text(hashlib.sha256(der).digest())}
    claims = {"iss": client_id, "sub": client_id, "aud": token_url, "jti": identity, **_times(now)}
    return _signed(header, claims, _key(pem))


def _times(now: float) -> Mapping[str, int]:
    """A minute for clocks that differ."""
    return {"iat": int(now) - 60, "nbf": int(now) - 60, "exp": int(now) + LIFETIME}


def _key(pem: str) -> rsa.RSAPrivateKey:
    try:
        key = load_pem_private_key(pem.encode("utf-8"), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise OauthError("the key file holds no private key that can be read", permanent=True) from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise OauthError("the private key is not an RSA key", permanent=True)
    return key


def _signed(header: Mapping[str, Any], claims: Mapping[str, Any], key: rsa.RSAPrivateKey) -> str:
    signed = ".".join(_text(json.dumps(each, separators=(",", ":")).encode()) for each in (header, claims))
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
    how = pss if header["alg"] == "PS256" else padding.PKCS1v15()
    return f"{signed}.{_text(key.sign(signed.encode('ascii'), how, hashes.SHA256()))}"


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
