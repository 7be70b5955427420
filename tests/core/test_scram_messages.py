"""SCRAM-SHA-256: the example of RFC 7677, keys at rest, and every message a value or one named error."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaygw.core.scram import (
    MAX_ITERATIONS,
    MAX_NAME,
    MAX_NONCE,
    MIN_ITERATIONS,
    First,
    ScramError,
    derive_keys,
    fake_keys,
    parse_final,
    parse_first,
    parse_keys,
    proven,
    server_final,
    server_first,
)

SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
CLIENT_FIRST = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
SERVER_NONCE = b"%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
SERVER_FIRST = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
CLIENT_FINAL = (
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
)
SERVER_FINAL = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def test_the_example_of_rfc_7677() -> None:
    keys = derive_keys("pencil", SALT, 4096)
    first, final = parse_first(CLIENT_FIRST), parse_final(CLIENT_FINAL)
    assert (first.flag, first.username, first.authzid, first.header) == ("n", "user", "", b"n,,")
    assert server_first(keys, first.nonce, SERVER_NONCE) == SERVER_FIRST
    message = b",".join((first.bare, SERVER_FIRST, final.signed))
    assert final.binding == b"n,,"
    assert proven(keys, message, final.proof)
    assert server_final(keys, message) == SERVER_FINAL
    assert not proven(keys, message + b"x", final.proof)
    assert not proven(derive_keys("pencil ", SALT, 4096), message, final.proof)


def test_keys_survive_being_written_down() -> None:
    keys = derive_keys("pencil", SALT, 4096)
    assert str(keys).startswith("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$")
    assert parse_keys(str(keys)) == keys
    for part in ("stored_key", "server_key"):
        assert part not in repr(keys)


@pytest.mark.parametrize("iterations", [MIN_ITERATIONS - 1, MAX_ITERATIONS + 1])
def test_keys_of_too_few_or_too_many_rounds_are_refused(iterations: int) -> None:
    text = str(derive_keys("x", SALT, 4096))
    with pytest.raises(ScramError):
        parse_keys(text.replace("$4096:", f"${iterations}:"))
    assert parse_keys(text.replace("$4096:", f"${MAX_ITERATIONS}:")).iterations == MAX_ITERATIONS


def test_passwords_that_look_the_same_are_the_same() -> None:
    assert derive_keys("\u2168", SALT, 4096) == derive_keys("IX", SALT, 4096)
    assert derive_keys("I\u00adX", SALT, 4096) == derive_keys("IX", SALT, 4096)
    assert derive_keys("\U0001f511", SALT, 4096) != derive_keys("x", SALT, 4096)


def test_somebody_who_is_not_there_has_the_same_salt_at_every_question() -> None:
    one = fake_keys(b"secret", "nobody")
    assert fake_keys(b"secret", "nobody") == one
    assert len(one.salt) == len(SALT)
    assert len({one.salt, fake_keys(b"secret", "another").salt, fake_keys(b"other", "nobody").salt}) == 3


@pytest.mark.parametrize(
    ("message", "flag", "binding", "username", "authzid"),
    [
        (b"y,,n=user,r=x", "y", "", "user", ""),
        (b"p=tls-exporter,,n=user,r=x", "p", "tls-exporter", "user", ""),
        (b"n,a=user,n=user,r=x", "n", "", "user", "user"),
        (b"n,,n=a=2Cb=3Dc,r=x", "n", "", "a,b=c", ""),
        (b"n,,n=us\xc2\xader,r=x,e=later", "n", "", "user", ""),
        ("n,,n=\u2168,r=x".encode(), "n", "", "IX", ""),
    ],
)
def test_first_messages(message: bytes, flag: str, binding: str, username: str, authzid: str) -> None:
    first = parse_first(message)
    assert (first.flag, first.binding, first.username, first.authzid) == (flag, binding, username, authzid)


@pytest.mark.parametrize(
    "message",
    [
        b"", b"n", b"n,", b"n,,", b"n,,n=user", b"n,,n=,r=x", b"n,,n=user,r=", b"x,,n=user,r=x", b"n=,,n=user,r=x",
        b"p,,n=user,r=x", b"p=,,n=user,r=x", b"p=a b,,n=user,r=x", b"n,,m=x,n=user,r=x", b"n,,n=user,r=x,m=must",
        b"n,,n=us=er,r=x",
        b"n,,n=\xc2\xad,r=x", b"n,,n=us=2cer,r=x", b"n,,n=\xff,r=x", b"n,,n=a\0b,r=x", b"n,,n=user,r=a b",
        b"n,,r=x,n=user",
        b"n,,n=user,r=\xc3\xa9", b"n,a=,n=user,r=x", b"n,b=x,n=user,r=x", b"n,,n=user,r=x,,", b"n,,n=user,r=x,1=x",
    ],
)  # fmt: skip
def test_first_messages_that_are_none(message: bytes) -> None:
    with pytest.raises(ScramError):
        parse_first(message)


@pytest.mark.parametrize("opening", [b"n,,n=%b,r=x", b"n,a=%b,n=user,r=x"])
def test_a_name_has_a_longest_length(opening: bytes) -> None:
    parse_first(opening % (b"u" * MAX_NAME))
    with pytest.raises(ScramError, match="too long"):
        parse_first(opening % (b"u" * (MAX_NAME + 1)))


def test_a_nonce_is_bounded() -> None:
    assert parse_first(b"n,,n=user,r=" + b"x" * MAX_NONCE).nonce == b"x" * MAX_NONCE
    with pytest.raises(ScramError):
        parse_first(b"n,,n=user,r=" + b"x" * (MAX_NONCE + 1))


@pytest.mark.parametrize(
    "message",
    [
        b"", b"p=", b"c=biws,r=x", b"c=biws,p=" + base64.b64encode(bytes(32)),
        b"r=x,c=biws,p=" + base64.b64encode(bytes(32)),
        b"c=biws,r=x,p=" + base64.b64encode(bytes(31)), b"c=!,r=x,p=" + base64.b64encode(bytes(32)), b"c=biws,r=x,p=!",
        b"c=biws,r=x,m=must,p=" + base64.b64encode(bytes(32)),
    ],
)  # fmt: skip
def test_final_messages_that_are_none(message: bytes) -> None:
    with pytest.raises(ScramError):
        parse_final(message)


@given(st.binary(max_size=200) | st.text("npy,=arm\0é2C3D", max_size=60).map(str.encode))
def test_any_first_message_is_a_value_or_the_named_error(message: bytes) -> None:
    try:
        first = parse_first(message)
    except ScramError:
        return
    assert isinstance(first, First)
    assert first.header + first.bare == message
    assert first.username


@given(st.binary(max_size=200) | st.text("c=r,p/+bws", max_size=80).map(str.encode))
def test_any_final_message_is_a_value_or_the_named_error(message: bytes) -> None:
    try:
        final = parse_final(message)
    except ScramError:
        return
    assert message.startswith(final.signed)


@given(st.text(max_size=100))
def test_any_text_is_keys_or_the_named_error(text: str) -> None:
    with pytest.raises(ScramError):
        parse_keys(text)
