"""Trace fields: right keywords and dates, and nothing a peer says can leave its place in them."""

import email
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaygw.core.address import Address
from relaygw.core.headers import fields
from relaygw.core.session import Role, Session, Tls
from relaygw.core.trace import mail_date, missing_fields, protocol_name, received, return_path

SESSION = Session(id="s", listener="mx", role=Role.MX, client="192.0.2.1", hello="client.test", esmtp=True)
TLS = Tls(version="TLSv1.3", cipher="TLS_AES_256_GCM_SHA384")
RECIPIENT = Address("user", "here.test")


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"esmtp": False}, "SMTP"),
        ({}, "ESMTP"),
        ({"tls": TLS}, "ESMTPS"),
        ({"login": "user"}, "ESMTPA"),
        ({"tls": TLS, "login": "user"}, "ESMTPSA"),
    ],
)
def test_the_with_keyword(changes: dict[str, object], name: str) -> None:
    assert protocol_name(attrs.evolve(SESSION, **changes)) == name


def test_a_received_field() -> None:
    field = received(attrs.evolve(SESSION, tls=TLS, client="2001:db8::1"), "gw.test", "id1", (RECIPIENT,), 0.0)
    assert field == (
        b"Received: from client.test ([IPv6:2001:db8::1])\r\n\tby gw.test (relaygw) with ESMTPS id id1\r\n"
        b"\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384)\r\n"
        b"\tfor <user@here.test>; Thu, 1 Jan 1970 00:00:00 +0000\r\n"
    )


def test_no_recipient_is_named_where_there_are_two() -> None:
    field = received(SESSION, "gw.test", "id1", (RECIPIENT, Address("secret", "here.test")), 0.0)
    assert b"for " not in field
    assert b"secret" not in field


def test_the_login_is_not_told() -> None:
    assert b"somebody" not in received(attrs.evolve(SESSION, login="somebody"), "gw.test", "i", (RECIPIENT,), 0.0)


@given(st.floats(min_value=0, max_value=32_000_000_000))
def test_dates_are_those_of_the_library(now: float) -> None:
    assert parsedate_to_datetime(mail_date(now)) == datetime.fromtimestamp(int(now), UTC)
    if datetime.fromtimestamp(int(now), UTC).day > 9:
        assert mail_date(now) == format_datetime(datetime.fromtimestamp(int(now), UTC))


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=20))
def test_nothing_a_peer_says_leaves_its_place(hello: str, cipher: str, local: str) -> None:
    session = attrs.evolve(SESSION, hello=hello, tls=Tls(version="TLSv1.3", cipher=cipher))
    field = received(session, "gw.test", "id1", (Address(local or "x", "here.test"),), 0.0)
    if not any(c < " " for c in local):  # the grammar lets no control character into a local part
        (only,) = fields(field)
        assert only.name == b"Received"
        assert all(line[:1] in (b"R", b"\t") for line in field.split(b"\r\n")[:-1])
        assert b"\n" not in field.replace(b"\r\n", b"")


def test_return_path_and_missing_fields() -> None:
    assert return_path(None) == b"Return-Path: <>\r\n"
    assert return_path(Address("a b", "x.test")) == b'Return-Path: <"a b"@x.test>\r\n'
    both = missing_fields(date=True, message_id=True, queue_id="q1", hostname="gw.test", now=0.0)
    message = email.message_from_bytes(both)
    assert message["Date"] == "Thu, 1 Jan 1970 00:00:00 +0000"
    assert message["Message-ID"] == "<q1@gw.test>"
    assert missing_fields(date=False, message_id=False, queue_id="q1", hostname="gw.test", now=0.0) == b""
