"""Mail of ours is signed with every key of its author's domain, in threads, and by nobody else's leave."""

import threading
from pathlib import Path
from typing import Any

import dkim
import pytest
from egress_support import make_record
from twisted.internet import reactor
from twisted.internet.defer import gatherResults, inlineCallbacks
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from relaygw import keys
from relaygw.config.schema import Config, DkimKeyConfig, SigningRuleConfig
from relaygw.core.arc import Result, verify
from relaygw.core.authres import compose
from relaygw.core.content import BytesContent
from relaygw.core.question import settle
from relaygw.core.record import Origin
from relaygw.core.signing_table import compile_signing
from relaygw.core.verdict import AuthResult
from relaygw.dns.fixed import FixedResolver
from relaygw.egress.dkim import SMALL, DkimSigner, make_signer
from relaygw.egress.signatories import DkimError, Signatories, SigningKey, load_keys
from relaygw.egress.workshop import Workshop
from relaygw.interfaces import ISigner

PEMS = {"rsa": keys.generate("rsa"), "ed": keys.generate("ed25519")}


def key(selector: str, domain: str = "example.com", seals: bool = False) -> SigningKey:
    private = keys.load(PEMS[selector])
    algorithm = keys.algorithm(private)
    return SigningKey(domain=domain, selector=selector, algorithm=algorithm, private=private, seals=seals)


def published(name: bytes, timeout: float = 5) -> bytes | None:
    """What the DNS would say."""
    selector = name.decode().partition(".")[0]
    return keys.record(PEMS[selector]).encode() if selector in PEMS else None


def trusted(client: str) -> bool:
    return client == "192.0.2.1"


def message(size: int) -> BytesContent:
    head = b"From: a@example.com\r\nSubject: hello\r\n\r\n"
    line = b"A  line\twith white space  \r\n"
    return BytesContent(head + line * ((size - len(head)) // len(line) + 1))


class SigningTests(TestCase):
    """The signer with its threads."""

    def signer(self, *signing_keys: SigningKey) -> DkimSigner:
        signer = DkimSigner(signing_keys, trusted, reactor)
        self.addCleanup(signer.stop)
        return signer

    @inlineCallbacks
    def test_every_key_of_the_domain_signs_and_dkimpy_verifies_each(self) -> Any:
        signer = self.signer(key("rsa"), key("ed"), key("rsa", "other.example"))
        for content in (message(500), message(SMALL), message(SMALL + 1), message(300_000)):
            record = make_record(header_from="example.com", login="a")
            prefix = yield signer.sign(record, content)
            assert prefix.count(b"DKIM-Signature:") == 2
            verifier = dkim.DKIM(prefix + content.data)
            assert [verifier.verify(number, dnsfunc=published) for number in (0, 1)] == [True, True]

    @inlineCallbacks
    def test_many_at_once_are_all_signed_each_with_its_own(self) -> Any:
        signer = self.signer(key("ed"))
        contents = [BytesContent(b"From: a@example.com\r\n\r\nNumber %d\r\n" % number) for number in range(50)]
        record = make_record(header_from="example.com", login="a")
        prefixes = yield gatherResults([signer.sign(record, each) for each in contents])
        for prefix, content in zip(prefixes, contents, strict=True):
            assert dkim.verify(prefix + content.data, dnsfunc=published)

    @inlineCallbacks
    def test_what_strangers_send_is_sealed_where_a_key_is_meant_for_it(self) -> Any:
        signer = DkimSigner([key("ed"), key("rsa", seals=True)], trusted, reactor, authserv_id="gateway.test")
        self.addCleanup(signer.stop)
        field = compose(
            "gateway.test", [AuthResult(method="spf", result="pass"), AuthResult(method="arc", result="none")]
        )
        zone = FixedResolver({"rsa._domainkey.example.com": {"TXT": [keys.record(PEMS["rsa"]).encode()]}})
        stranger = make_record(header_from="other.example", client="198.51.100.7")
        for content in (message(500), message(300_000)):
            stored = BytesContent(field + content.data)
            sent = (yield signer.sign(stranger, stored)) + stored.data
            found = settle(verify(BytesContent(sent), 2_000_000_000), zone.answer)
            assert (found.result, [seal.domain for seal in found.seals]) == (Result.PASS, ["example.com"])
            assert found.seals[0].results == "gateway.test;\tspf=pass;\tarc=none"

    @inlineCallbacks
    def test_what_was_not_checked_or_is_ours_is_not_sealed(self) -> Any:
        signer = DkimSigner([key("ed", seals=True)], trusted, reactor, authserv_id="gateway.test")
        self.addCleanup(signer.stop)
        field = compose("gateway.test", [AuthResult(method="arc", result="none")])
        stranger = make_record(header_from="other.example", client="198.51.100.7")
        ours = make_record(header_from="other.example", login="a")
        unchecked = message(500)
        assert (yield signer.sign(stranger, unchecked)) == b""
        assert (yield signer.sign(ours, BytesContent(field + unchecked.data))) == b""
        report = make_record(header_from="other.example", origin=Origin.REPORT)
        assert (yield signer.sign(report, BytesContent(field + unchecked.data))) == b""

    @inlineCallbacks
    def test_mail_that_is_not_ours_gets_no_signature(self) -> Any:
        signer = self.signer(key("ed"))
        for record in (
            make_record(header_from="example.com", client="198.51.100.7"),
            make_record(header_from="example.com"),
            make_record(header_from="", login="a"),
            make_record(header_from="notexample.com", login="a"),
        ):
            prefix = yield signer.sign(record, message(100))
            assert prefix == b""

    @inlineCallbacks
    def test_a_job_that_fails_fails_alone(self) -> Any:
        workshop = Workshop(reactor, 1)
        self.addCleanup(workshop.stop)
        hold = threading.Event()
        first = workshop.do(lambda: str(hold.wait(60)).encode())
        failing = workshop.do(lambda: b"%d" % (1 // 0))
        last = workshop.do(lambda: b"done")
        hold.set()
        assert (yield first) == b"True"
        assert (yield last) == b"done"
        yield self.assertFailure(failing, ZeroDivisionError)


@pytest.mark.parametrize(
    "facts",
    [
        {"login": "a"},
        {"client": "192.0.2.1"},
        {"origin": Origin.REPORT},
        {"origin": Origin.LOCAL},
    ],
)
def test_a_login_a_trusted_network_and_our_own_reports_are_signed(facts: dict[str, Any]) -> None:
    signer = DkimSigner([key("ed")], trusted, reactor)
    assert [found.selector for found in signer.keys_for(make_record(header_from="example.com", **facts))] == ["ed"]


def test_a_domain_below_is_signed_by_the_nearest_key_above() -> None:
    signer = DkimSigner([key("ed"), key("rsa", "mail.example.com")], trusted, reactor)

    def chosen(domain: str) -> list[str]:
        return [found.domain for found in signer.keys_for(make_record(header_from=domain, login="a"))]

    assert chosen("example.com") == ["example.com"]
    assert chosen("news.example.com") == ["example.com"]
    assert chosen("a.mail.example.com") == ["mail.example.com"]
    assert chosen("example.com.evil.test") == []


def test_the_configuration_makes_a_signer(tmp_path: Path) -> None:
    (tmp_path / "k.pem").write_bytes(PEMS["rsa"])
    entry = DkimKeyConfig(domain="example.com", selector="rsa", private_key=str(tmp_path / "k.pem"))
    signer = make_signer(Config(hostname="mx.example.com", state=str(tmp_path), dkim=(entry,)), reactor)
    assert verifyObject(ISigner, signer)
    assert len(signer.keys_for(make_record(header_from="example.com", login="a"))) == 1


def test_all_keys_that_cannot_be_used_are_told_at_once_and_without_their_bytes(tmp_path: Path) -> None:
    (tmp_path / "broken.pem").write_bytes(b"-----BEGIN PRIVATE KEY-----\nSECRET\n-----END PRIVATE KEY-----\n")
    entries = [
        DkimKeyConfig(domain="example.com", selector="a", private_key=str(tmp_path / name))
        for name in ("broken.pem", "missing.pem")
    ]
    with pytest.raises(DkimError) as caught:
        load_keys(entries)
    assert len(caught.value.problems) == 2
    assert "missing.pem cannot be read: No such file or directory" in str(caught.value)
    assert "SECRET" not in str(caught.value)


def test_a_key_never_shows_its_private_part() -> None:
    assert "private=" not in repr(key("ed"))


RULES = (
    SigningRuleConfig(name="nobody", login=("printer",), domains=()),
    SigningRuleConfig(
        name="news", header_from=(".news.example.com",), domains=("author", "other.example"), parents=False
    ),
    SigningRuleConfig(
        name="bulk", listener=("bulk",), fields=("From", "Subject"), oversigned=("Subject",), expire=864000.0
    ),
    SigningRuleConfig(name="default"),
)


@pytest.mark.parametrize(
    ("author", "facts", "expected"),
    [
        ("example.com", {"login": "printer"}, []),
        ("example.com", {"login": "a"}, ["example.com"]),
        ("below.example.com", {}, ["example.com"]),
        ("a.news.example.com", {}, ["other.example"]),  # no parents: only the author's very domain, which has no key
        ("example.com", {"listener": "bulk"}, ["example.com"]),
        ("strange.test", {}, []),
    ],
)
def test_the_signing_table_says_whose_keys_sign(author: str, facts: dict[str, Any], expected: list[str]) -> None:
    signer = DkimSigner([key("ed"), key("rsa", "other.example")], trusted, reactor, table=compile_signing(RULES))
    assert [found.domain for found in signer.keys_for(make_record(header_from=author, **facts))] == expected


def test_the_rule_that_counts_gives_the_form() -> None:
    chosen = Signatories([key("ed")], compile_signing(RULES)).choose(
        make_record(header_from="example.com", listener="bulk")
    )
    form = chosen[0].signature.form
    assert (form.names, form.oversigned, form.lifetime) == ((b"from", b"subject"), (b"subject",), 864000)


def test_other_keys_take_over_while_it_runs() -> None:
    signer = DkimSigner([key("ed")], trusted, reactor)
    signer.use([key("rsa")])
    assert [found.selector for found in signer.keys_for(make_record(header_from="example.com"))] == ["rsa"]
    signer.use([])
    assert signer.keys_for(make_record(header_from="example.com")) == ()
