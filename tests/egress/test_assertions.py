"""Signed assertions: what Google and Microsoft want of them, verified with the public key; and clear errors."""

import base64
import datetime
import hashlib
import json
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from relaygw.core.oauth import Flow, OauthError, token_request
from relaygw.egress.assertions import LIFETIME, application, service_account

KEY = rsa.generate_private_key(65537, 2048)
URL = "https://oauth2.googleapis.com/token"
NOW = 1_700_000_000.5


def pem(key: Any) -> str:
    data: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return data.decode()


def certificate() -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "relay")])
    now = datetime.datetime(2023, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(KEY.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=999))
    return builder.sign(KEY, hashes.SHA256())


def account(**changes: Any) -> str:
    return json.dumps(
        {
            "type": "service_account",
            "client_email": "relay@project.iam.gserviceaccount.com",
            "private_key_id": "k1",
            "private_key": pem(KEY),
            "token_uri": URL,
        }
        | changes
    )


def parts(assertion: str, how: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims, once the signature is verified."""
    head, claims, signature = assertion.split(".")
    decoded = [base64.urlsafe_b64decode(each + "==") for each in (head, claims, signature)]
    KEY.public_key().verify(decoded[2], f"{head}.{claims}".encode(), how, hashes.SHA256())
    return json.loads(decoded[0]), json.loads(decoded[1])


def test_a_service_account_signs_for_the_mailbox() -> None:
    made = service_account(account(), URL, "https://mail.google.com/", "sales@example.com", NOW)
    header, claims = parts(made, padding.PKCS1v15())
    assert header == {"alg": "RS256", "typ": "JWT", "kid": "k1"}
    assert claims == {
        "iss": "relay@project.iam.gserviceaccount.com",
        "sub": "sales@example.com",
        "scope": "https://mail.google.com/",
        "aud": URL,
        "iat": 1_699_999_940,
        "nbf": 1_699_999_940,
        "exp": 1_700_000_000 + LIFETIME,
    }
    assert token_request(Flow.SERVICE_ACCOUNT, "", "", "", "", made) == {
        "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "assertion": made,
    }


def test_an_application_signs_with_the_key_of_its_certificate() -> None:
    shown = certificate()
    both = pem(KEY) + shown.public_bytes(Encoding.PEM).decode()
    made = application(both, "app", URL, "unique", NOW)
    header, claims = parts(made, padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH))
    digest = hashlib.sha256(shown.public_bytes(Encoding.DER)).digest()
    assert header == {"alg": "PS256", "typ": "JWT", "x5t#S256": base64.urlsafe_b64encode(digest).decode().rstrip("=")}
    assert (claims["iss"], claims["sub"], claims["aud"], claims["jti"]) == ("app", "app", URL, "unique")
    form = token_request(Flow.CLIENT_CREDENTIALS, "app", "", "scope", "", made)
    assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    assert (form["client_assertion"], form["grant_type"]) == (made, "client_credentials")
    assert "client_secret" not in form


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ("not JSON", "not the JSON of a service account"),
        ("[]", "not the JSON of a service account"),
        ('{"type": "authorized_user"}', "not the JSON of a service account"),
        (account(private_key="rubbish"), "no private key that can be read"),
        (account(private_key=pem(ec.generate_private_key(ec.SECP256R1()))), "not an RSA key"),
    ],
)
def test_a_key_that_cannot_be_used_is_told_without_its_content(document: str, problem: str) -> None:
    with pytest.raises(OauthError, match=problem) as caught:
        service_account(document, URL, "", "", NOW)
    assert caught.value.permanent
    assert "PRIVATE" not in str(caught.value)


def test_a_key_without_its_certificate() -> None:
    with pytest.raises(OauthError, match="no certificate beside the key"):
        application(pem(KEY), "app", URL, "x", NOW)
