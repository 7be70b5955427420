"""Chains of 1 to 50 sets hold, every way to break one is noticed (RFC 8617 5.2), and dkimpy agrees both ways."""

import hashlib
import re
from base64 import b64encode
from collections.abc import Callable

import dkim as dkimpy
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from dkim_signer import sign
from effort import costs_less_than
from hypothesis import given
from hypothesis import strategies as st

from relaygw import keys
from relaygw.core.arc import Findings, Result, verify
from relaygw.core.arc.finding import Seal, auth_result, summary, vouched
from relaygw.core.arc.seal import Findings as Found
from relaygw.core.arc.seal import Sealer, own_findings, seal
from relaygw.core.authres import compose
from relaygw.core.content import MAX_HEADER, BytesContent
from relaygw.core.dkim_signature import body_hash
from relaygw.core.permission import domains_of
from relaygw.core.question import settle
from relaygw.core.verdict import AuthResult
from relaygw.dns.fixed import FixedResolver

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
RSA_PEM = keys.generate("rsa")
RECORD = b"v=DKIM1; k=ed25519; p=" + b64encode(KEY.public_key().public_bytes_raw())
ZONE = FixedResolver(
    {
        **{f"s._domainkey.hop{number}.example": {"TXT": [RECORD]} for number in range(1, 52)},
        "rsa._domainkey.example.com": {"TXT": [keys.record(RSA_PEM).encode()]},
        "revoked._domainkey.hop1.example": {"TXT": [b"v=DKIM1; p="]},
        "reports._domainkey.hop1.example": {"TXT": [RECORD + b"; s=tlsrpt"]},
        "beside._domainkey.hop1.example": {"TXT": [b"v=spf1 -all", b"hello", RECORD]},
    },
    failing=["down._domainkey.hop1.example"],
)
MESSAGE = b"From: a@example.com\r\nTo: b@example.net\r\nSubject: A test\r\n\r\nHello\r\n"
NOW = 1_800_000_000
NONE = Found(results="dmarc=pass header.from=example.com; arc=none", chain=Result.NONE)


def sealer(number: int, selector: str = "s") -> Sealer:
    return Sealer(
        domain=f"hop{number}.example",
        selector=selector,
        algorithm="ed25519",
        sign=lambda data: KEY.sign(hashlib.sha256(data).digest()),
    )


def check(message: bytes) -> Findings:
    return settle(verify(BytesContent(message), NOW), ZONE.answer)


def add(message: bytes, number: int, chain: Result, selector: str = "s", words: str = "") -> bytes:
    """The message with a set of hop `number` on top."""
    content = BytesContent(message)
    found = Found(results=f"dmarc=pass header.from=example.com {words}; arc={chain.value}", chain=chain)
    digest = body_hash(content.chunks(len(content.head) + 2))
    fields = seal(content.head, digest, found, f"mx.hop{number}.example", sealer(number, selector), 1_790_000_000)
    assert fields
    return fields + message


def chain_of(length: int) -> bytes:
    message = MESSAGE
    for number in range(1, length + 1):
        message = add(message, number, Result.PASS if number > 1 else Result.NONE)
    return message


LONG = {length: chain_of(length) for length in (1, 2, 3)}


def test_no_chain() -> None:
    assert check(MESSAGE) == Findings(result=Result.NONE)


def test_chains_of_every_length_hold() -> None:
    message = MESSAGE
    for number in range(1, 51):
        message = add(message, number, Result.PASS if number > 1 else Result.NONE)
        if number in (1, 2, 3, 10, 49, 50):
            found = check(message)
            assert (found.result, found.reason) == (Result.PASS, ""), number
            assert [each.domain for each in found.seals] == [f"hop{each}.example" for each in range(1, number + 1)]
    content = BytesContent(message)
    again = Found(results="arc=pass", chain=Result.PASS)
    assert seal(content.head, body_hash([b"Hello\r\n"]), again, "mx", sealer(51), 1) == b""
    assert check(re.sub(rb"\bi=50;", b"i=51;", message)).reason.endswith("without an instance from 1 to 50")


@pytest.mark.parametrize("length", sorted(LONG))
def test_dkimpy_agrees_with_what_we_seal(length: int) -> None:
    message = MESSAGE
    private = keys.load(RSA_PEM)
    assert isinstance(private, RSAPrivateKey)
    for number in range(1, length + 1):
        content = BytesContent(message)
        chain = Result.PASS if number > 1 else Result.NONE
        rsa = Sealer(
            domain="example.com",
            selector="rsa",
            algorithm="rsa",
            sign=lambda data: private.sign(data, PKCS1v15(), SHA256()),
        )
        found = Found(results=f"spf=none; arc={chain.value}", chain=chain)
        digest = body_hash(content.chunks(len(content.head) + 2))
        message = seal(content.head, digest, found, "mx.example.com", rsa, 1_790_000_000) + message
    record = keys.record(RSA_PEM).encode()
    assert check(message).result is Result.PASS
    status, _, reason = dkimpy.arc_verify(message, dnsfunc=lambda name, timeout=5: record)
    assert status == b"pass", reason


@pytest.mark.parametrize("lost", [b"From: a@example.com\r\n", MESSAGE.partition(b"\r\n\r\n")[0] + b"\r\n"])
def test_what_has_no_from_is_sealed_so_that_it_holds(lost: bytes) -> None:
    """RFC 8617 4.1.2, RFC 6376 5.4: From is signed, so that none can be put on, too."""
    message = add(MESSAGE.replace(lost, b""), 1, Result.NONE)
    assert check(message).result is Result.PASS
    assert check(b"From: b@example.com\r\n" + message).result is Result.FAIL


def test_what_dkimpy_seals_holds() -> None:
    pytest.importorskip("authres", reason="dkimpy seals with it")
    message = b"Authentication-Results: mx.example.com; arc=none; spf=pass smtp.mailfrom=a@example.com\r\n" + MESSAGE
    for length in (1, 2, 3):
        fields = dkimpy.arc_sign(message, b"rsa", b"example.com", RSA_PEM, b"mx.example.com", timestamp=b"1790000000")
        message = b"".join(fields) + message
        found = check(message)
        assert (found.result, found.reason, len(found.seals)) == (Result.PASS, "", length)
        message = message.replace(b"mx.example.com; arc=none; spf", b"mx.example.com; arc=pass; spf")


def without(message: bytes, name: bytes, instance: int) -> bytes:
    """The message without one field."""
    return re.sub(rb"(?m)^" + name + rb": i=%d;(?:.|\r\n[ \t])*\r\n" % instance, b"", message, count=1)


def doubled(message: bytes, name: bytes, instance: int) -> bytes:
    found = re.search(rb"(?m)^" + name + rb": i=%d;(?:.|\r\n[ \t])*\r\n" % instance, message)
    assert found
    return found[0] + message


def changed(old: bytes, new: bytes, length: int = 3) -> Callable[[], bytes]:
    def make() -> bytes:
        message = LONG[length]
        assert old in message, old
        return message.replace(old, new, 1)

    return make


SEALS, SIGNATURES, RESULTS = b"ARC-Seal", b"ARC-Message-Signature", b"ARC-Authentication-Results"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        # 5.2, step 1: the sets are collected.
        (lambda: b"ARC-Seal: nonsense\r\n" + MESSAGE, "ARC-Seal: 'nonsense' is no tag"),
        (lambda: b"ARC-Seal: i=0; cv=none\r\n" + MESSAGE, "ARC-Seal without an instance from 1 to 50"),
        (lambda: b"ARC-Seal: i=51; cv=none\r\n" + MESSAGE, "ARC-Seal without an instance from 1 to 50"),
        (
            lambda: b"ARC-Authentication-Results: mx; none\r\n" + MESSAGE,
            "ARC-Authentication-Results without an instance from 1 to 50",
        ),
        (lambda: b"ARC-Seal: i=1; cv=none\r\n" * 51 + MESSAGE, "more than 50 sets"),
        # 5.2, step 2: the newest hop has found the chain broken.
        (lambda: add(changed(b"Hello", b"Hallo", 2)(), 3, Result.FAIL), "hop3.example found the chain broken"),
        # 5.2, step 3: the structure.
        (lambda: without(LONG[3], SEALS, 3), "instance 3 has no ARC-Seal"),
        (lambda: without(LONG[3], SIGNATURES, 2), "instance 2 has no ARC-Message-Signature"),
        (lambda: without(LONG[3], RESULTS, 1), "instance 1 has no ARC-Authentication-Results"),
        (lambda: doubled(LONG[2], SEALS, 1), "two ARC-Seal fields of instance 1"),
        (lambda: doubled(LONG[2], SIGNATURES, 2), "two ARC-Message-Signature fields of instance 2"),
        (lambda: doubled(LONG[2], RESULTS, 2), "two ARC-Authentication-Results fields of instance 2"),
        (
            lambda: without(without(without(LONG[3], SEALS, 2), SIGNATURES, 2), RESULTS, 2),
            "the instances are not 1, 2, 3 …",
        ),
        (changed(b"cv=none", b"cv=pass", 1), "instance 1 has cv=pass, not none"),
        (changed(b"cv=pass", b"cv=none", 2), "instance 2 has cv=none, not pass"),
        (changed(b"cv=pass", b"cv=maybe", 2), "instance 2 has cv=maybe, not pass"),
        (changed(b" cv=none;", b"", 1), "instance 1 has cv=, not none"),
        (changed(b" cv=none;", b" cv=none; h=from;", 1), "instance 1: ARC-Seal has h="),
        (changed(b"h=from:", b"h=arc-seal:from:", 1), "instance 1: ARC-Seal is signed by a message signature"),
        (changed(b"h=from:", b"h=", 1), "instance 1: From is not signed"),
        (changed(b"bh=", b"xx=", 1), "instance 1: the tag bh= is missing"),
        (changed(b"a=ed25519-sha256", b"a=rsa-sha1", 1), "instance 1: rsa-sha1 proves nothing any more"),
        # 5.2, step 4: the newest message signature.
        (changed(b"Hello", b"Hallo"), "the message signature of instance 3: the body hash did not verify"),
        (changed(b"A test", b"Win"), "the message signature of instance 3: the signature did not verify"),
        # RFC 6376 8.15: what is shown as From and was never signed.
        *(
            (
                lambda added=added: added + LONG[3],
                "the message signature of instance 3: more From fields than were signed",
            )
            for added in (b"From: b@example.com\r\n", b" From: b@example.com\r\n", b"From\r\n : b@example.com\r\n")
        ),
        (
            lambda: b"Subject: another\r\n" + LONG[3],
            "the message signature of instance 3: more Subject fields than were signed",
        ),
        # 5.2, step 6: every seal.
        (changed(b"mx.hop3.example", b"mx.hop9.example"), "the seal of instance 3: the signature did not verify"),
        (changed(b"mx.hop1.example", b"mx.hop9.example"), "the seal of instance 3: the signature did not verify"),
        (
            lambda: add(changed(b"mx.hop1.example", b"mx.hop9.example", 1)(), 2, Result.PASS),
            "the seal of instance 1: the signature did not verify",
        ),
        (
            lambda: add(MESSAGE, 1, Result.NONE, "gone"),
            "the message signature of instance 1: there is no key at gone._domainkey.hop1.example",
        ),
        (lambda: add(MESSAGE, 1, Result.NONE, "revoked"), "the message signature of instance 1: the key is revoked"),
        (
            lambda: add(MESSAGE, 1, Result.NONE, "reports"),
            "the message signature of instance 1: the key is not for mail",
        ),
        # 5.2.1: all failures are permanent.
        (
            lambda: add(MESSAGE, 1, Result.NONE, "down"),
            "the message signature of instance 1: looking up the key: the server does not answer",
        ),
    ],
)
def test_broken(make: Callable[[], bytes], reason: str) -> None:
    found = check(make())
    assert (found.result, found.reason) == (Result.FAIL, reason)


@pytest.mark.parametrize("opening", [b" i = 01 ;", b"(a (b;)) i=(c)1 (d;) ;", b"\r\n\ti\r\n =1;"])
def test_an_instance_may_stand_among_comments(opening: bytes) -> None:
    """RFC 8617 4.2.1, 4.1.1: comments and folds everywhere, one or two digits; what was found begins behind it."""
    message = LONG[1].replace(b"ARC-Authentication-Results: i=1;", b"ARC-Authentication-Results:" + opening)
    found = check(message)
    assert found.reason == "the seal of instance 1: the signature did not verify"
    assert found.seals[0].results.startswith("mx.hop1.example;")


@pytest.mark.parametrize(
    ("length", "fault"),
    [
        (len(b"Hello\r\n") - 1, "the message signature of instance 1: only part of the body is signed"),
        (len(b"Hello\r\n"), "the seal of instance 1: the signature did not verify"),
    ],
)
def test_a_message_signature_signs_the_whole_body(length: int, fault: str) -> None:
    tags = {"v": None, "i": "1", "d": "hop1.example", "s": "s", "l": str(length)}
    fields = sign(MESSAGE, KEY, tags, field=SIGNATURES) + b"ARC-Authentication-Results: i=1; mx; none\r\n"
    fields += b"ARC-Seal: i=1; cv=none; a=ed25519-sha256; d=hop1.example; s=s; b=AAAA\r\n"
    assert check(fields + MESSAGE).reason == fault


@pytest.mark.parametrize(
    ("expires", "fault"),
    [
        (NOW, "the message signature of instance 1: it has expired"),
        (NOW + 1, "the seal of instance 1: the signature did not verify"),
    ],
)
def test_a_message_signature_holds_as_long_as_its_signer_wants(expires: int, fault: str) -> None:
    """RFC 8617 4.1.2, RFC 6376 3.5: whoever was vouched for once would be for ever."""
    tags = {"v": None, "i": "1", "d": "hop1.example", "s": "s", "x": str(expires)}
    fields = sign(MESSAGE, KEY, tags, field=SIGNATURES) + b"ARC-Authentication-Results: i=1; mx; none\r\n"
    fields += b"ARC-Seal: i=1; cv=none; a=ed25519-sha256; d=hop1.example; s=s; b=AAAA\r\n"
    assert check(fields + MESSAGE).reason == fault


def test_two_from_fields_that_are_signed_are_a_matter_of_dmarc() -> None:
    assert check(add(b"From: b@example.com\r\n" + MESSAGE, 1, Result.NONE)).result is Result.PASS


@pytest.mark.parametrize(("sets", "beginning"), [(10, "the message signature"), (11, "more than 20 seals and")])
def test_so_many_names_in_other_scripts_and_not_one_more(sets: int, beginning: str) -> None:
    tags = "a=ed25519-sha256; d=hüpf.example; s=s; b=AAAA"
    head = "".join(
        f"ARC-Seal: i={number}; cv={'pass' if number > 1 else 'none'}; {tags}\r\n"
        f"ARC-Message-Signature: i={number}; h=from; bh=AAAA; {tags}\r\n"
        f"ARC-Authentication-Results: i={number}; hüpf.example; none\r\n"
        for number in range(sets, 0, -1)
    )
    assert check(head.encode() + MESSAGE).reason.startswith(beginning)


def test_a_key_may_stand_beside_other_texts() -> None:
    assert check(add(MESSAGE, 1, Result.NONE, "beside")).result is Result.PASS


def test_an_older_message_signature_need_not_hold() -> None:
    """RFC 8617 5.2, step 4: only the newest must; a hop may have changed the message before it sealed."""
    message = changed(b"A test", b"[list] A test", 1)()
    assert check(message).result is Result.FAIL
    assert check(add(message, 2, Result.PASS)).result is Result.PASS


def test_a_chain_of_fifty_that_fills_a_header_section_stops_nobody() -> None:
    """Each seal signs all sets before it: hashed anew for each, a megabyte would hold the reactor up for long."""
    message = MESSAGE
    for number in range(1, 51):
        message = add(message, number, Result.PASS if number > 1 else Result.NONE, words=f'x="{"y " * 9_500}"')
    assert 900_000 < len(BytesContent(message).head) < MAX_HEADER
    assert check(message).result is Result.PASS
    costs_less_than(0.2, lambda: check(message))


def test_a_made_up_chain_of_fifty_costs_one_question() -> None:
    message = chain_of(50).replace(b"s=s", b"s=gone")
    before = len(ZONE.asked)
    assert check(message).result is Result.FAIL
    assert len(ZONE.asked) - before == 1


def test_a_broken_chain_is_sealed_once_and_never_again() -> None:
    """RFC 8617 5.1.2: the seal of a broken chain covers its own set alone."""
    broken = add(changed(b"Hello", b"Hallo", 2)(), 3, Result.FAIL)
    assert b"cv=fail" in broken
    content = BytesContent(broken)
    found = Found(results="arc=fail", chain=Result.FAIL)
    assert seal(content.head, b"", found, "mx", sealer(4), 1) == b""


@pytest.mark.parametrize(("message", "chain"), [(MESSAGE, Result.PASS), (LONG[1], Result.NONE)])
def test_what_was_not_judged_is_not_sealed(message: bytes, chain: Result) -> None:
    assert seal(BytesContent(message).head, b"", Found(results="", chain=chain), "mx", sealer(1), 1) == b""


def test_our_own_findings_are_read_from_our_own_field() -> None:
    field = compose(
        "mx.example.org",
        [
            AuthResult(method="dmarc", result="fail", reason="; arc=pass", properties=(("header.from", "a.test"),)),
            AuthResult(method="arc", result="none"),
        ],
    )
    above = b"Received: from a.test\r\nAuthentication-Results: other.test; arc=pass\r\n"
    assert own_findings(above + field.replace(b"mx.", b"Mx.", 1) + MESSAGE, "mx.example.org") is not None
    found = own_findings(above + field + MESSAGE, "MX.example.org")
    assert found is not None
    assert found.chain is Result.NONE
    assert found.results.startswith("dmarc=fail ")
    assert own_findings(b"Authentication-Results: other.test; arc=pass\r\n", "mx.example.org") is None
    assert own_findings(compose("mx.example.org", []), "mx.example.org") is None


def test_no_line_of_a_set_is_too_long_for_mail() -> None:
    """RFC 5322 2.1.1: whoever has to break a line breaks the seal. A peer's words come as long as a value may be."""
    long = "x y;" * 100
    result = AuthResult(
        method="dkim",
        result="fail",
        reason=long,
        properties=(*((f"header.{letter}", long) for letter in "dis"), ("header.b", "abc")),
    )
    head = compose("mx.hop1.example", [result, AuthResult(method="arc", result="none")]) + MESSAGE
    found = own_findings(head, "mx.hop1.example")
    assert found is not None
    content = BytesContent(MESSAGE)
    digest = body_hash(content.chunks(len(content.head) + 2))
    fields = seal(content.head, digest, found, "mx.hop1.example", sealer(1), 1_790_000_000)
    assert max(map(len, fields.split(b"\r\n"))) < 998
    checked = check(fields + MESSAGE)
    assert checked.result is Result.PASS
    assert checked.seals[0].results.split() == f"mx.hop1.example; {found.results}".split()


def findings(*results: str) -> Findings:
    seals = tuple(
        Seal(instance=number, domain=f"hop{number}.example", selector="s", results=text)
        for number, text in enumerate(results, 1)
    )
    return Findings(result=Result.PASS, seals=seals)


PASSED = "mx; dmarc=pass (p=none) header.from=example.com; spf=fail"


@pytest.mark.parametrize(
    ("found", "trusted", "sealer_"),
    [
        (findings(PASSED), ["hop1.example"], "hop1.example"),
        (findings(PASSED), [".example"], "hop1.example"),
        (findings("mx; dmarc=pass header.from=EXAMPLE.com."), [".example"], "hop1.example"),
        (findings(PASSED), ["hop2.example"], ""),
        (findings(PASSED, "mx; dmarc=fail header.from=example.com"), [".example"], "hop1.example"),
        (findings(PASSED, "mx; dmarc=fail header.from=example.com"), ["hop1.example"], ""),
        (findings("mx; dmarc=pass header.from=other.test"), [".example"], ""),
        (findings("mx; dmarc=pass header.from=other.test; " + PASSED[4:]), [".example"], "hop1.example"),
        (findings("mx; dmarc=pass; " + PASSED[4:]), [".example"], "hop1.example"),
        (findings("mx; dmarc=pass header.from=other.test; dmarc=fail header.from=example.com"), [".example"], ""),
        (findings("mx; dmarc=pass"), [".example"], ""),
        (findings('mx; spf=pass reason="; dmarc=pass header.from=example.com"'), [".example"], ""),
        (findings("mx (; dmarc=pass header.from=example.com); spf=pass"), [".example"], ""),
        (findings("mx (a (b) ; dmarc=pass header.from=example.com ); spf=pass"), [".example"], ""),
        (findings("mx " + "( ; dmarc=pass header.from=example.com " * 9 + ")" * 9 + "; spf=pass"), [".example"], ""),
        (findings("mx " + "( ; dmarc=pass header.from=example.com " * 10 + ")" * 10 + "; spf=pass"), [".example"], ""),
        (findings('mx; spf=pass (x" ; dmarc=pass header.from=example.com ; y"'), [".example"], ""),
        (findings('mx (a (b) "c"); dmarc=pass (".") header.from=example.com'), [".example"], "hop1.example"),
        (findings("mx; dmarc=passed header.from=example.com"), [".example"], ""),
        (findings(PASSED + "; x=\\"), [".example"], ""),
        (Findings(result=Result.FAIL, seals=findings(PASSED).seals), [".example"], ""),
    ],
)
def test_who_vouches(found: Findings, trusted: list[str], sealer_: str) -> None:
    assert vouched(found, domains_of(trusted), "example.com") == sealer_


@pytest.mark.parametrize("sign", ['\\"', "\\(", '"\\', "(\\", "(a", "a(b)(", "((((((((("])
def test_results_in_which_nothing_ends_are_given_up_at_once(sign: str) -> None:
    # Each such sign was once a place from which all the rest was looked through: it would take an hour.
    text = PASSED + '; x="' + sign * (MAX_HEADER // 2 // len(sign))
    assert vouched(findings(text), domains_of([".example"]), "example.com") == ""


def test_how_it_is_told() -> None:
    found = check(LONG[2])
    assert summary(found) == "pass through hop1.example, hop2.example"
    assert auth_result(found, "192.0.2.1").properties == (("smtp.remote-ip", "192.0.2.1"),)
    assert summary(Findings(result=Result.FAIL, reason="why")) == "fail (why)"


FIELDS = st.lists(
    st.sampled_from(
        [*LONG[2].split(b"\r\n")[:14], b"ARC-Seal: i=1", b"ARC-Seal:", b"ARC-Message-Signature: i=2; h=from"]
    ),
    max_size=16,
)


@given(FIELDS)
def test_any_fields_are_a_chain_or_none(lines: list[bytes]) -> None:
    found = check(b"".join(line + b"\r\n" for line in lines) + MESSAGE)
    assert isinstance(found, Findings)
