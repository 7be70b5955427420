"""OAuth 2.0 and SCRAM as a client: requests, answers and errors as they are published; RFC 7677's example."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaygw.core import scram_client
from relaygw.core.oauth import (
    DEFAULT_LIFETIME,
    MAX_TOKEN,
    Flow,
    OauthError,
    Token,
    challenge_words,
    oauthbearer,
    parse_token,
    token_request,
    xoauth2,
)
from relaygw.core.scram import ScramError, derive_keys, parse_final, parse_first, proven, server_final, server_first


def answer(**members: Any) -> bytes:
    return json.dumps({"token_type": "Bearer", "expires_in": 3599, "access_token": "eyJ.a-b_c"} | members).encode()


def test_requests_have_the_published_members() -> None:
    assert token_request(Flow.CLIENT_CREDENTIALS, "app", "secret", "https://outlook.office365.com/.default", "") == {
        "grant_type": "client_credentials",
        "client_id": "app",
        "client_secret": "secret",
        "scope": "https://outlook.office365.com/.default",
    }
    assert token_request(Flow.REFRESH_TOKEN, "app", "", "", "1//09") == {
        "grant_type": "refresh_token",
        "client_id": "app",
        "refresh_token": "1//09",
    }


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (answer(ext_expires_in=3599), Token(access="eyJ.a-b_c", lifetime=3599.0)),
        (answer(token_type="bearer", expires_in="3600"), Token(access="eyJ.a-b_c", lifetime=3600.0)),
        (answer(expires_in=None), Token(access="eyJ.a-b_c", lifetime=DEFAULT_LIFETIME)),
        (answer(expires_in=-1), Token(access="eyJ.a-b_c", lifetime=DEFAULT_LIFETIME)),
        (answer(expires_in=True), Token(access="eyJ.a-b_c", lifetime=DEFAULT_LIFETIME)),
        (answer(refresh_token="0.new"), Token(access="eyJ.a-b_c", lifetime=3599.0, refresh="0.new")),
    ],
)
def test_tokens(body: bytes, expected: Token) -> None:
    assert parse_token(200, body) == expected


@pytest.mark.parametrize(
    ("status", "body", "words", "permanent"),
    [
        (
            401,
            json.dumps(
                {
                    "error": "invalid_client",
                    "error_description": "AADSTS7000215: Invalid client secret provided.\r\nTrace ID: x\r\n",
                }
            ).encode(),
            "the token server refused (invalid_client: AADSTS7000215: Invalid client secret provided.); "
            "client_secret must be the secret's value, not its ID",
            True,
        ),
        (
            400,
            b'{"error": "invalid_grant", "error_description": "Token has been expired or revoked."}',
            "the token server refused (invalid_grant: Token has been expired or revoked.); "
            "get a new refresh token; those of programs in testing end after seven days",
            True,
        ),
        (400, b'{"error": "temporarily_unavailable"}', "the token server refused (temporarily_unavailable)", False),
        (503, b"<html>busy</html>", "the token server answered 503", False),
        (500, b'{"error": {"code": 500}}', "the token server answered 500", False),
        (200, b"[]", "the token server's answer holds no access token", False),
        (200, answer(access_token="a b"), "the token server's answer holds no access token", False),
        (200, answer(access_token="a\r\nb"), "the token server's answer holds no access token", False),
        (200, answer(access_token="a" * (MAX_TOKEN + 1)), "the token server's answer holds no access token", False),
        (200, answer(token_type="mac"), "the token server gave a token that is no bearer token", False),
    ],
)
def test_errors_are_clear(status: int, body: bytes, words: str, permanent: bool) -> None:
    with pytest.raises(OauthError) as caught:
        parse_token(status, body)
    assert (str(caught.value), caught.value.permanent) == (words, permanent)


def test_the_longest_token() -> None:
    assert len(parse_token(200, answer(access_token="a" * MAX_TOKEN)).access) == MAX_TOKEN


OBJECTS = st.dictionaries(st.text(), st.text()).map(lambda members: json.dumps(members).encode())


@given(st.integers(100, 599), st.binary(max_size=60) | OBJECTS)
def test_any_answer_is_a_token_or_one_error(status: int, body: bytes) -> None:
    try:
        found = parse_token(status, body).access
    except OauthError as error:
        found = str(error)
    assert found.isprintable()


def test_messages_are_those_of_the_specifications() -> None:
    assert xoauth2("someuser@example.com", "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg") == (
        b"user=someuser@example.com\x01auth=Bearer ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg\x01\x01"
    )
    # RFC 7628 4.1
    assert oauthbearer("user@example.com", "server.example.com", 143, "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==") == (
        b"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01"
        b"auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01"
    )
    assert b"a=a=3Db=2Cc," in oauthbearer("a=b,c", "h", 1, "t")


def test_what_a_server_says_of_a_token_it_does_not_take() -> None:
    challenge = base64.b64encode(b'{"status":"401","schemes":"bearer","scope":"https://mail.google.com/"}').decode()
    assert challenge_words(challenge) == "status 401, schemes bearer, scope https://mail.google.com/"
    assert challenge_words("rubbish!") == challenge_words("") == ""


# SCRAM


def test_the_example_of_rfc_7677() -> None:
    nonce = "rOprNGfwEbeRWgbNEkqO"
    ours = scram_client.Opening(header=b"n,,", bare=f"n=user,r={nonce}".encode(), nonce=nonce.encode())
    message = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    challenge = scram_client.parse_challenge(message, ours)
    proof = scram_client.prove(ours, challenge, scram_client.salted_password("pencil", challenge))
    assert proof.message == (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    assert scram_client.is_the_server(proof, b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
    assert not scram_client.is_the_server(proof, b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=")
    assert not scram_client.is_the_server(proof, b"")


@pytest.mark.parametrize(("username", "password"), [("user", "pencil"), ("a=b,c", "pä55 wörd"), ("ü", "\u2168")])
@pytest.mark.parametrize(("header", "binding"), [(b"n,,", b""), (b"y,,", b""), (b"p=tls-exporter,,", b"\0" * 32)])
def test_client_and_server_understand_each_other(username: str, password: str, header: bytes, binding: bytes) -> None:
    keys = derive_keys(password, b"salt", 4096)
    ours = scram_client.opening(username, b"n" * 24, header=header, binding=binding)
    first = parse_first(ours.message)
    assert first.username == username
    message = server_first(keys, first.nonce, b"server")
    challenge = scram_client.parse_challenge(message, ours)
    proof = scram_client.prove(ours, challenge, scram_client.salted_password(password, challenge))
    final = parse_final(proof.message)
    signed = b",".join((first.bare, message, final.signed))
    assert final.binding == header + binding
    assert proven(keys, signed, final.proof)
    assert scram_client.is_the_server(proof, server_final(keys, signed))


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"e=unknown-user",
        b"r=other,s=c2FsdA==,i=4096",
        b"r=NONCE,s=c2FsdA==,i=4096",
        b"r=NONCEx,s=,i=4096",
        b"r=NONCEx,s=c2FsdA=,i=4096",
        b"r=NONCEx,s=c2FsdA==,i=4095",
        b"r=NONCEx,s=c2FsdA==,i=1000001",
        b"m=x,r=NONCEx,s=c2FsdA==,i=4096",
        b"r=NONCE" + b"x" * 1025 + b",s=c2FsdA==,i=4096",
    ],
)
def test_what_is_no_challenge(message: bytes) -> None:
    ours = scram_client.opening("user", b"n" * 24)
    with pytest.raises(ScramError):
        scram_client.parse_challenge(message.replace(b"NONCE", ours.nonce), ours)


@pytest.mark.parametrize("iterations", [4096, 1_000_000])
def test_the_numbers_of_iterations_we_do(iterations: int) -> None:
    ours = scram_client.opening("user", b"n" * 24)
    found = scram_client.parse_challenge(b"r=%bx,s=c2FsdA==,i=%d,ext=1" % (ours.nonce, iterations), ours)
    assert found.iterations == iterations


@given(st.binary(max_size=80))
def test_any_octets_are_a_challenge_or_one_error(message: bytes) -> None:
    with pytest.raises(ScramError):
        scram_client.parse_challenge(message, scram_client.opening("user", b"n" * 24))
