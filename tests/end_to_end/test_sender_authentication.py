"""The running gateway knows, says and acts on who a message is from, and seals what it hands on."""

import json
import smtplib
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from dkim_signer import sign
from real import eventually, journaled
from recording_hop import RecordingHop

from relaygw import keys
from relaygw.core.arc import Result, verify
from relaygw.core.content import BytesContent
from relaygw.core.dkim_record import zone_line
from relaygw.core.question import settle
from relaygw.dns.fixed import FixedResolver
from relaygw.testing.gateway import Gateway

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
RECORD = "v=DKIM1; k=ed25519; p=A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
ZONE = f"""\
$TTL 300
good.test. TXT "v=spf1 ip4:127.0.0.1 -all"
ed25519._domainkey.good.test. TXT "{RECORD}"
_dmarc.good.test. TXT "v=DMARC1; p=reject"
_dmarc.soft.test. TXT "v=DMARC1; p=quarantine; rua=mailto:reports@soft.test"
"""
FILTERS = """
[dns]
zone = "dns.zone"

[[filter]]
use = "iprev"
"""
FORGED = b"Authentication-Results: gateway.example.test; dmarc=pass header.from=good.test\r\n"


def make(folder: Path) -> Gateway:
    gateway = Gateway.make(folder / "demo", domains=["example.test"], users=["alice:secret one"])
    (gateway.folder / "dns.zone").write_text(ZONE)
    for _ in ("dkim", "arc", "dmarc"):  # the world is on this host
        gateway.configure('options = { skip = ["127.0.0.0/8", "::1"] }\n', "")
    gateway.append(FILTERS)
    return gateway


def message(author: str) -> bytes:
    return f"From: <{author}>\r\nTo: alice@example.test\r\nSubject: hello\r\n\r\nHello\r\n".encode()


def send(gateway: Gateway, sender: str, content: bytes, to: str = "alice@example.test") -> None:
    with smtplib.SMTP("127.0.0.1", gateway.port(25), "client.good.test", timeout=60) as client:
        client.sendmail(sender, [to], content)


def mailbox(gateway: Gateway) -> list[bytes]:
    return [path.read_bytes() for path in gateway.folder.glob("state/mail/alice*/**/new/*")]


def test_what_is_found_is_said_in_one_field_and_forgeries_are_gone(tmp_path: Path) -> None:
    with make(tmp_path) as gateway:
        signed = sign(message("a@good.test"), KEY, {"d": "good.test"}) + FORGED + message("a@good.test")
        send(gateway, "a@good.test", signed)
        [stored] = eventually(lambda: mailbox(gateway))
        stored = stored.replace(b"\r\n", b"\n")
        assert stored.count(b"\nAuthentication-Results:") == 1
        field = stored[stored.index(b"\nAuthentication-Results:") + 1 :].split(b"\nReceived-SPF")[0].decode()
        results = [line.strip().split()[0].rstrip(";") for line in field.split(";\n\t")[1:]]
        assert results == ["spf=pass", "dkim=pass", "arc=none", "dmarc=pass"]
        [removed] = eventually(lambda: journaled(gateway, "forgery_removed"))
        assert removed["fields"] == ["gateway.example.test; dmarc=pass header.from=good.test"]
        with pytest.raises(smtplib.SMTPDataError) as refused:
            send(gateway, "b@elsewhere.test", message("a@good.test"))
        assert refused.value.smtp_code == 550
        assert b"5.7.1 DMARC: this message is not from good.test" in refused.value.smtp_error
        send(gateway, "b@elsewhere.test", message("a@soft.test"))
        told = eventually(lambda: [each for each in journaled(gateway, "judged") if each["action"] == "quarantine"])
        assert told[0]["filter"] == "dmarc"
        kept = eventually(lambda: (gateway.folder / "state" / "dmarc").exists() and evaluations(gateway, 3))
        assert [each["policy_evaluated"]["disposition"] for each in kept] == ["pass", "reject", "quarantine"]


def evaluations(gateway: Gateway, count: int) -> list[dict[str, Any]]:
    """All that is kept, once there are so many."""
    texts = [path.read_text() for path in sorted((gateway.folder / "state" / "dmarc").iterdir())]
    # The last line may be being written.
    found = [json.loads(line) for text in texts for line in text[: text.rfind("\n") + 1].splitlines()]
    return found if len(found) >= count else []


def test_what_is_handed_on_for_others_is_sealed(tmp_path: Path) -> None:
    gateway = make(tmp_path)
    pem = (gateway.folder / "dkim" / "example.test.s1.pem").read_bytes()
    published = zone_line("s1._domainkey.example.test", keys.record(pem))
    with RecordingHop() as hop:
        gateway.configure("relay_domains = []", 'relay_domains = ["relayed.test"]')
        gateway.configure('.s1.pem"', '.s1.pem"\nseals = true')
        gateway.configure(
            '[[route]]\nname = "rest"',
            '[[route]]\nmatch = { recipient = ["relay"] }\ntransport = "smarthost"\n'
            f'host = "127.0.0.1"\nport = {hop.port}\ntls = "none"\n\n[[route]]\nname = "rest"',
        )
        with gateway:
            content = sign(message("a@good.test"), KEY, {"d": "good.test"}) + message("a@good.test")
            send(gateway, "a@good.test", content, to="b@relayed.test")
            [sent] = eventually(lambda: hop.contents)
    zone = FixedResolver.from_zone(ZONE + published + "\n")
    found = settle(verify(BytesContent(sent), time.time()), zone.answer)
    assert (found.result, found.reason) == (Result.PASS, "")
    [seal] = found.seals
    assert seal.domain == "example.test"
    assert "dmarc=pass" in seal.results
    assert sent.endswith(content)
