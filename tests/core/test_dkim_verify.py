"""Signatures are judged as the RFCs say: golden cases from files, every changed octet noticed, any octets survived.

A case is three files in tests/data/dkim: NAME.eml (line ends are made CRLF), NAME.zone and NAME.expected.
"""

import contextlib
import hashlib
import itertools
import json
from base64 import b64encode
from pathlib import Path

import dkim as dkimpy
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from dkim_signer import sign
from hypothesis import example, given, settings
from hypothesis import strategies as st

from relaygw import keys
from relaygw.core.content import BytesContent
from relaygw.core.dkim import Check, Finding, Findings, Policy, Result, claim, head, verify
from relaygw.core.dkim.body import BodyHashes, Wanted
from relaygw.core.dkim.claim import Claim, Unreadable, read_claim, without_signature
from relaygw.core.dkim.finding import auth_results, summary
from relaygw.core.dkim.key import Key, UnusableKey, read_key
from relaygw.core.question import settle
from relaygw.core.tags import TagError, parse_tags
from relaygw.core.verdict import AuthResult
from relaygw.dns.fixed import FixedResolver

CASES = Path(__file__).parents[1] / "data" / "dkim"
NAMES = sorted(path.stem for path in CASES.glob("*.expected"))


def read_message(path: Path) -> BytesContent:
    return BytesContent(path.read_bytes().replace(b"\n", b"\r\n"))


def plain(finding: Finding, name: str) -> object:
    value = getattr(finding, name)
    return value.value if isinstance(value, Result) else list(value) if isinstance(value, tuple) else value


@pytest.mark.parametrize("name", NAMES)
def test_case(name: str) -> None:
    expected = json.loads((CASES / f"{name}.expected").read_text())
    resolver = FixedResolver.from_zone((CASES / f"{name}.zone").read_text())
    found = settle(verify(read_message(CASES / f"{name}.eml"), expected["now"]), resolver.answer)
    told = [
        {key: plain(finding, key) for key in wanted}
        for finding, wanted in zip(found.signatures, expected["signatures"], strict=True)
    ]
    assert told == expected["signatures"], expected["proves"]
    assert found.ignored == expected.get("ignored", 0)


def test_there_are_cases() -> None:
    assert len(NAMES) > 80


ED = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
RSA_PEM = keys.generate("rsa")
RSA = keys.load(RSA_PEM)
ED_RECORD = b"v=DKIM1; k=ed25519; p=" + b64encode(ED.public_key().public_bytes_raw())
ZONE = FixedResolver(
    {
        "ed25519._domainkey.example.com": {"TXT": [ED_RECORD]},
        "rsa._domainkey.example.com": {"TXT": [keys.record(RSA_PEM).encode()]},
    }
)
MESSAGE = (
    b"Received: from a\r\n by b\r\nFrom: Alice <alice@example.com>\r\nTo: bob@example.net\r\nSubject: A test\r\n"
    b"\r\nHello Bob,\r\n\r\nthis is signed.\r\n"
)
NOW = 1_790_000_000


def judge(message: bytes, policy: Policy | None = None) -> Findings:
    return settle(verify(BytesContent(message), NOW, policy or Policy()), ZONE.answer)


SIGNED = {
    form: sign(MESSAGE, ED, {"c": form, "h": "from:to:subject:received"})
    for form in ("simple/simple", "relaxed/relaxed")
}


@pytest.mark.parametrize("form", sorted(SIGNED))
def test_any_changed_octet_in_a_signed_part_fails(form: str) -> None:
    """Every octet of the signed fields' values and of the body is changed once."""
    field = SIGNED[form]
    assert judge(field + MESSAGE).result is Result.PASS
    names = [b"Received:", b"From:", b"To:", b"Subject:"]
    skipped = {MESSAGE.index(name) + offset for name in names for offset in range(len(name))}
    for place in range(len(MESSAGE)):
        octet = MESSAGE[place]
        if place in skipped or octet in b"\r\n":
            continue
        changed = MESSAGE[:place] + bytes([octet ^ 0x10 if octet != 0x20 else 0x5F]) + MESSAGE[place + 1 :]
        assert judge(field + changed).result is not Result.PASS, changed


@settings(max_examples=100)
@given(
    st.lists(st.sampled_from([b"a", b" ", b"\t", b"\r\n", b".", b"\xc3\xa4"]), max_size=30).map(b"".join),
    st.integers(0, 10_000),
    st.integers(0, 255),
)
def test_any_octet_in_the_place_of_another_fails(body: bytes, place: int, octet: int) -> None:
    """In simple form nothing is forgiven: names and line ends count, in the head as in the body."""
    message = MESSAGE + body + b"\r\n"
    field = sign(message, ED, {"h": "from:to:subject:received"})
    place %= len(message)
    changed = message[:place] + bytes([octet]) + message[place + 1 :]
    assert (judge(field + changed).result is Result.PASS) == (changed == message)


@settings(max_examples=150)
@given(st.data())
def test_any_changed_octet_of_the_signature_field_is_no_pass(data: st.DataObject) -> None:
    """Of the field itself too, where the change means anything: the last digit of base64 has bits that do not."""
    field = SIGNED["simple/simple"]
    spare = len(field) - len(b"?==\r\n")
    place = data.draw(st.integers(len(b"DKIM-Signature:"), len(field) - 3).filter(lambda value: value != spare))
    octet = data.draw(st.integers(33, 126).filter(lambda value: chr(value).lower() != chr(field[place]).lower()))
    changed = field[:place] + bytes([octet]) + field[place + 1 :]
    assert judge(changed + MESSAGE).result is not Result.PASS


@settings(max_examples=150)
@given(st.data())
def test_an_inserted_or_lost_octet_is_no_pass(data: st.DataObject) -> None:
    body = MESSAGE.index(b"\r\n\r\n") + 4
    place = data.draw(st.integers(body, len(MESSAGE) - 3))
    if data.draw(st.booleans()):
        changed = MESSAGE[:place] + b"x" + MESSAGE[place:]
    else:
        changed = MESSAGE[:place] + MESSAGE[place + 1 :]
    assert judge(SIGNED["simple/simple"] + changed).result is not Result.PASS


@pytest.mark.parametrize("head", [b"simple", b"relaxed"])
@pytest.mark.parametrize("body", [b"simple", b"relaxed"])
@pytest.mark.parametrize("length", [False, True])
def test_what_dkimpy_signs_verifies(head: bytes, body: bytes, length: bool) -> None:
    message = MESSAGE.replace(b"A test", b"A \t test").replace(b"signed.", b"signed \t . \r\n\t\r\n\r\n")
    field = dkimpy.sign(
        message, b"rsa", b"example.com", RSA_PEM, canonicalize=(head, body), length=length, identity=b"@example.com"
    )
    now = int(dict(read_tags(field))["t"])
    found = settle(verify(BytesContent(field + message), now), ZONE.answer)
    assert [finding.result for finding in found.signatures] == [Result.PASS]
    assert dkimpy.verify(field + message, dnsfunc=lambda name, timeout=5: keys.record(RSA_PEM).encode())


def read_tags(field: bytes) -> list[tuple[str, str]]:
    return list(parse_tags(field.partition(b":")[2].decode()).items())


WORDS = st.lists(
    st.sampled_from([b"x", b"word", b" ", b"\t", b"\r\n", b"\r\n\r\n", b".", b"\x0b", b"\xe9", b" \r\n"]), max_size=40
).map(b"".join)


@given(WORDS, st.lists(st.integers(0, 200), max_size=5), st.sampled_from(["simple", "relaxed"]), st.integers(0, 60))
@example(b"", [], "simple", 0)
def test_body_hashes_are_dkimpys_in_any_pieces(body: bytes, places: list[int], form: str, length: int) -> None:
    body += b"" if not body or body.endswith(b"\r\n") else b"\r\n"
    canonical = getattr(dkimpy.canonicalization, form.title()).canonicalize_body(body)
    hashes = BodyHashes([Wanted(form), Wanted(form, length)])
    cuts = [0, *sorted(min(place, len(body)) for place in places), len(body)]
    for start, end in itertools.pairwise(cuts):
        hashes.feed(body[start:end])
    hashes.finish()
    assert hashes.digest(Wanted(form)) == hashlib.sha256(canonical).digest()
    assert hashes.digest(Wanted(form, length)) == hashlib.sha256(canonical[:length]).digest()
    assert hashes.size(form) == len(canonical)


def test_a_simple_body_keeps_bare_line_ends() -> None:
    hashes = BodyHashes([Wanted("simple")])
    for piece in (b"a\r", b"\r\n", b"\n\r\n\r\n", b"\r"):
        hashes.feed(piece)
    hashes.finish()
    assert hashes.digest(Wanted("simple")) == hashlib.sha256(b"a\r\r\n\n\r\n\r\n\r\r\n").digest()


@pytest.mark.parametrize("bare", [b"x\n", b"x\r", b"x\n\n", b"\r\n\n", b"\n\r"])
def test_empty_lines_after_a_bare_line_end_do_not_count_either(bare: bytes) -> None:
    hashes = BodyHashes([Wanted("simple")])
    hashes.feed(bare + b"\r\n" * 3)
    hashes.finish()
    assert hashes.digest(Wanted("simple")) == hashlib.sha256(bare + b"\r\n").digest()


@pytest.mark.parametrize("sign_", [b"\x0b", b"\x0c"])
def test_only_space_and_tab_are_white_space_of_fields(sign_: bytes) -> None:
    """RFC 6376 2.8; what else bytes.split() takes for it is an octet as others are."""
    fields = b"Subject: " + sign_ + b"A" + sign_ + b" \ttest" + sign_ + b" \r\n"
    signed = head.Head(fields).signed((b"subject",), b"DKIM-Signature: b=\r\n", "relaxed")
    assert signed == b"subject:" + sign_ + b"A" + sign_ + b" test" + sign_ + b"\r\ndkim-signature:b="


def test_a_large_piece_is_worked_on_in_slices() -> None:
    class Form:
        longest = 0

        def feed(self, data: bytes) -> None:
            self.longest = max(self.longest, len(data))

        def finish(self) -> None: ...

    form = Form()
    hashes = BodyHashes([])
    hashes._forms = [form]
    hashes.feed(b"x" * 1_000_000)
    assert form.longest == 64 * 1024


def test_many_lengths_cost_one_canonical_form() -> None:
    hashes = BodyHashes([Wanted("relaxed", number) for number in range(8)])
    hashes.feed(b"a b\r\n")
    hashes.finish()
    assert [hashes.digest(Wanted("relaxed", number)) for number in range(8)] == [
        hashlib.sha256(b"a b\r\n"[:number]).digest() for number in range(8)
    ]


def test_questions_are_asked_once_each_and_only_where_an_answer_counts() -> None:
    fields = [
        sign(MESSAGE, ED, {}),
        sign(MESSAGE, ED, {"i": "@example.com"}),
        sign(MESSAGE, ED, {"s": "other"}),
        sign(MESSAGE, ED, {"s": "expired", "x": str(NOW)}),
        b"DKIM-Signature: nonsense\r\n",
    ]
    check = Check(b"".join(fields) + MESSAGE.partition(b"\r\n\r\n")[0] + b"\r\n", NOW)
    assert [question.name for question in check.questions] == [
        "ed25519._domainkey.example.com",
        "other._domainkey.example.com",
    ]


@pytest.mark.parametrize(
    "odd", [b" Subject: another\r\n", b"Subject\r\n : another\r\n", b"from\r\n\t: a@b.example\r\n"]
)
@pytest.mark.parametrize("names", ["from:subject", "from:from:subject:subject"])
def test_what_some_programs_take_for_a_field_is_one_more_than_was_signed(odd: bytes, names: str) -> None:
    signature = sign(MESSAGE, ED, {"h": names})
    assert judge(signature + MESSAGE).result is Result.PASS
    assert judge(odd + signature + MESSAGE).result is Result.POLICY
    assert judge(b"Odd\r\n : x\r\n" + signature + MESSAGE).result is Result.PASS


def test_fields_that_stand_twice_may_all_be_signed() -> None:
    message = b"Subject: another\r\n" + MESSAGE
    assert judge(sign(message, ED, {"h": "from:subject:subject"}) + message).result is Result.PASS
    assert judge(sign(message, ED, {"h": "from:subject"}) + message).result is Result.POLICY


ONCE = (
    "Date", "From", "Sender", "Reply-To", "To", "Cc", "Message-ID", "In-Reply-To", "References", "Subject",
    "MIME-Version", "Content-Type", "Content-Transfer-Encoding",
)  # fmt: skip


@pytest.mark.parametrize("name", ONCE)
def test_a_second_of_what_stands_once_must_be_signed(name: str) -> None:
    """RFC 5322 3.6, RFC 2045 3: what a program shows, or shows by, and has no second one (RFC 6376 8.15)."""
    field = f"{name}: a@b.example\r\n".encode()
    message = field + MESSAGE if field.partition(b":")[0] + b":" not in MESSAGE else MESSAGE
    signature = sign(message, ED, {"h": f"from:{name}"} if name != "From" else {})
    assert judge(signature + message).result is Result.PASS
    assert judge(field + signature + message).result is Result.POLICY
    assert judge(b"Comments: twice\r\nComments: twice\r\n" + signature + message).result is Result.PASS


def test_times_that_are_none_and_algorithms_in_capitals_do_no_harm() -> None:
    """RFC 6376 3.5: what has more than 12 digits is no time, such as milliseconds."""
    for tags in ({"t": str(NOW * 1000)}, {"x": str(NOW * 1000)}, {"t": str(NOW), "x": str(NOW * 1000)}):
        assert judge(sign(MESSAGE, ED, tags) + MESSAGE).result is Result.PASS
    assert judge(sign(MESSAGE, ED, {"a": "ED25519-SHA256"}) + MESSAGE).result is Result.PASS


@pytest.mark.parametrize("form", sorted(SIGNED))
def test_a_signature_that_names_its_own_field_means_those_above_it(form: str) -> None:
    """RFC 6376 3.7: it never signs itself; so another signature on top of it is one that was added (5.4)."""
    lower = sign(MESSAGE, ED, {"c": form})
    upper = sign(lower + MESSAGE, ED, {"c": form, "h": "from:dkim-signature:dkim-signature"})
    alone = sign(MESSAGE, ED, {"c": form, "h": "from:dkim-signature"})
    assert [each.result for each in judge(upper + lower + MESSAGE).signatures] == [Result.PASS] * 2
    assert judge(upper + lower.replace(b"v=1;", b"v=1; z=1;") + MESSAGE).signatures[0].result is Result.FAIL
    assert judge(alone + MESSAGE).result is Result.PASS
    assert [each.result for each in judge(lower + alone + MESSAGE).signatures] == [Result.PASS, Result.FAIL]


def test_an_identity_is_an_address() -> None:
    """RFC 6376 3.5: i= has an @, whatever stands before it."""
    for identity, result in (("@example.com", Result.PASS), ("example.com", Result.NEUTRAL), ("@", Result.NEUTRAL)):
        assert judge(sign(MESSAGE, ED, {"i": identity}) + MESSAGE).result is result, identity


def test_an_unsigned_message_needs_neither_questions_nor_body() -> None:
    check = Check(b"From: a@b.example\r\n", NOW)
    assert (check.questions, check.bodies.needed) == ((), False)
    assert check.conclude({}).result is Result.NONE


def test_the_policy_says_how_many_and_whether_part_of_a_body_will_do() -> None:
    part = sign(MESSAGE, ED, {"l": "5"})
    assert judge(part + MESSAGE).result is Result.POLICY
    assert judge(part + MESSAGE, Policy(partial_body=True)).result is Result.PASS
    several = sign(MESSAGE, ED, {"s": "gone"}) * 2 + sign(MESSAGE, ED, {})
    assert judge(several + MESSAGE, Policy(signatures=3)).result is Result.PASS
    found = judge(several + MESSAGE, Policy(signatures=2))
    assert (found.result, found.ignored) == (Result.PERMERROR, 1)


def test_what_is_long_is_judged_and_not_remembered() -> None:
    """Strangers could fill the memory with what will never be seen again."""
    caches = (claim._known_terms, claim._field_names, head._are_plain)
    for count, kept in ((20, 1), (900, 0)):
        for cache in caches:
            cache.cache_clear()
        names = ":".join(["from", *(f"x-never-seen-before-{count}-{number}" for number in range(count))])
        assert judge(sign(MESSAGE, ED, {"h": names}) + MESSAGE).result is Result.PASS
        assert [cache.cache_info().currsize for cache in caches] == [kept] * 3


def test_findings_for_the_field_and_the_journal() -> None:
    found = judge(sign(MESSAGE, ED, {"i": "a@example.com"}) + sign(MESSAGE, ED, {"s": "gone"}) + MESSAGE)
    passed, missing = auth_results(found)
    assert passed.result == "pass"
    assert dict(passed.properties)["header.d"] == "example.com"
    assert dict(passed.properties)["header.i"] == "a@example.com"
    assert len(dict(passed.properties)["header.b"]) == 8
    assert missing.reason == "there is no key at gone._domainkey.example.com"
    assert summary(found) == (
        "example.com/ed25519: pass, example.com/gone: permerror (there is no key at gone._domainkey.example.com)"
    )
    assert auth_results(Findings()) == (AuthResult(method="dkim", result="none"),)
    assert summary(Findings(ignored=2)) == "no signature, 2 more not looked at"


@pytest.mark.parametrize("form", ["relaxed/", "/relaxed", "/", "", "relaxed/relaxed/", "relaxed / relaxed"])
def test_a_canonical_form_is_one_word_or_two_with_a_slash_between(form: str) -> None:
    """RFC 6376 3.5: a slash that no second word follows is no way to leave it out."""
    field = sign(MESSAGE, ED, {"c": "relaxed/simple"}).replace(b"c=relaxed/simple", b"c=" + form.encode())
    with pytest.raises(Unreadable, match="canonical form"):
        read_claim(field)


TAGGED = st.lists(
    st.sampled_from(
        [
            "v=1",
            "a=rsa-sha256",
            "d=example.com",
            "d=x",
            "s=s",
            "h=from",
            "h=:",
            "bh=AAAA",
            "b=AAAA",
            "c=relaxed",
            "i=@x",
            "t=1",
            "x=0",
            "l=-1",
            "l=9",
            "q=dns/txt",
            ";",
            "=",
            "==",
            "\r\n\t",
            "",
        ]
    ),
    max_size=16,
).map("; ".join)


@given(st.one_of(TAGGED, st.text(max_size=100)))
def test_any_field_is_a_claim_or_unreadable(text: str) -> None:
    with contextlib.suppress(Unreadable):
        assert isinstance(read_claim(b"DKIM-Signature:" + text.encode() + b"\r\n"), Claim)


@given(st.binary(max_size=100))
def test_any_octets_are_a_claim_or_unreadable(octets: bytes) -> None:
    with pytest.raises(Unreadable):
        read_claim(b"DKIM-Signature:" + octets + b"\r\n")


@given(st.one_of(st.binary(max_size=100), TAGGED.map(str.encode), st.binary(max_size=60).map(lambda b: b"p=" + b)))
def test_any_record_is_a_key_or_unusable(record: bytes) -> None:
    with contextlib.suppress(UnusableKey):
        assert isinstance(read_key(record), Key)


@pytest.mark.parametrize(
    ("bits", "exponent", "fault"),
    [
        (2048, 65537, ""),
        (2048, (1 << 32) + 1, ""),
        (2048, (1 << 33) + 1, "the exponent of the RSA key is too large"),
        (8192, 65537, ""),
        (8193, 65537, "an RSA key of 8193 bits is too long"),
    ],
)
def test_keys_that_cost_too_much_are_not_used(bits: int, exponent: int, fault: str) -> None:
    public = RSAPublicNumbers(e=exponent, n=(1 << (bits - 1)) + 1).public_key()
    octets = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    record = b"v=DKIM1; p=" + b64encode(octets)
    if fault:
        with pytest.raises(UnusableKey, match=fault):
            read_key(record)
    else:
        assert read_key(record).size == bits


def test_a_note_in_any_encoding_spoils_no_key() -> None:
    assert read_key(ED_RECORD + b"; n=cl\xe9").type == "ed25519"


def test_a_record_too_long_is_not_read() -> None:
    good = ED_RECORD + b"; n="
    assert read_key(good + b"x" * (8192 - len(good))).type == "ed25519"
    with pytest.raises(UnusableKey):
        read_key(good + b"x" * (8193 - len(good)))


@given(st.text(max_size=100))
def test_any_text_is_a_tag_list_or_not(text: str) -> None:
    try:
        tags = parse_tags(text)
    except TagError:
        return
    again = "; ".join(f"{name}={value}" for name, value in tags.items())
    assert parse_tags(again) == tags


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a=" + "x" * 32767, "longer than 32768 characters"),
        ("a=\x00", "control characters"),
        ("a=1;\x7f=2", "control characters"),
        ("a=1; a=2", "the tag a= stands twice"),
        ("a=1;; b=2", "nothing stands between two semicolons"),
        (";a=1", "nothing stands between two semicolons"),
        ("a=1;;", "nothing stands between two semicolons"),
        ("a=1; b", "'b' is no tag"),
        ("1=a", "'1=a' is no tag"),
        ("=a", "'=a' is no tag"),
    ],
)
def test_what_is_no_tag_list_says_why(text: str, reason: str) -> None:
    with pytest.raises(TagError) as caught:
        parse_tags(text)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("", {}),
        (" \r\n ", {}),
        ("a=1;", {"a": "1"}),
        ("\ta = 1 ;\r\n b_2 = x = y ; \r\n", {"a": "1", "b_2": "x = y"}),
        ("a=;A=\t", {"a": "", "A": ""}),
        ("a=" + "x" * 32766, {"a": "x" * 32766}),
    ],
)
def test_tags_have_values_without_the_space_around_them(text: str, tags: dict[str, str]) -> None:
    assert parse_tags(text) == tags


def test_the_signature_is_taken_out_and_nothing_else() -> None:
    field = b"DKIM-Signature: bh=abc; v=1;\r\n b = xy\r\n z=; z=b=1\r\n"
    assert without_signature(field) == b"DKIM-Signature: bh=abc; v=1;\r\n b =; z=b=1"
