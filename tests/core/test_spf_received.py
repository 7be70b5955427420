"""The Received-SPF field: the RFC's form, whatever hostile values it has to carry."""

import re

from hypothesis import given
from hypothesis import strategies as st

from relaygw.core.headers import fields
from relaygw.core.spf import Finding, Identity, Result, received_spf
from relaygw.core.verdict import field_flaw

ANY = st.text(max_size=700)
FINDINGS = st.builds(
    Finding,
    result=st.sampled_from(Result),
    identity=st.sampled_from(Identity),
    client=ANY,
    domain=ANY,
    sender=ANY,
    hello=ANY,
    mechanism=ANY,
    explanation=ANY,
    reason=ANY,
)


def test_the_field_of_a_pass() -> None:
    finding = Finding(
        result=Result.PASS,
        identity=Identity.MAIL_FROM,
        client="2001:db8::1",
        domain="example.com",
        sender="myname@example.com",
        hello="foo.example.com",
        mechanism="ip6:2001:db8::/32",
    )
    assert received_spf(finding, "mx.example.org") == (
        b"Received-SPF: pass\r\n"
        b"\t(mx.example.org: domain of myname@example.com designates 2001:db8::1 as permitted sender)\r\n"
        b"\treceiver=mx.example.org;\r\n"
        b"\tidentity=mailfrom;\r\n"
        b'\tclient-ip="2001:db8::1";\r\n'
        b'\tenvelope-from="myname@example.com";\r\n'
        b"\thelo=foo.example.com;\r\n"
        b'\tmechanism="ip6:2001:db8::/32"\r\n'
    )


def test_an_error_carries_its_problem_and_nothing_leaves_its_quotes() -> None:
    finding = Finding(
        result=Result.PERMERROR,
        identity=Identity.HELO,
        client="192.0.2.1",
        domain="x",
        sender="postmaster@x",
        hello='x") evil=(\r\nBcc: a@b',
        reason='bad "term"; x=\\',
    )
    field = received_spf(finding, "mx.example.org")
    assert b"helo=" + rb'"x\") evil=(??Bcc: a@b"' in field
    assert b"problem=" + rb'"bad \"term\"; x=\\"' in field
    assert b"envelope-from" not in field
    assert not field_flaw(field)


QUOTED = rb'"(?:[^"\\\r\n]|\\.)*"'
ATOM = rb"[^\s;\"()<>@,:\\\[\]]+"
PAIR = rb"[a-z-]+=(?:" + QUOTED + rb"|" + ATOM + rb")"
COMMENT = rb"\((?:[^()\\\r\n]|\\.)*\)"
FORM = re.compile(rb"Received-SPF: [a-z]+\r\n\t" + COMMENT + rb"\r\n\t" + PAIR + rb"(?:;\r\n\t" + PAIR + rb")*\r\n\Z")


@given(FINDINGS, ANY)
def test_no_value_leaves_its_place(finding: Finding, receiver: str) -> None:
    field = received_spf(finding, receiver)
    assert FORM.match(field)
    assert not field_flaw(field), field_flaw(field)
    assert not set(field) & ({*range(32), 127} - {9, 10, 13})
    assert [found.name for found in fields(field)] == [b"Received-SPF"]
