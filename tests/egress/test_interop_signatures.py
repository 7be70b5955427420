"""What we sign, OpenDKIM and dkimpy verify: 1,000 messages of every kind, and a sample as it comes out of the wire."""

import itertools
import re
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import dkim
import pytest
from egress_support import ChunkServer, MemoryReactor, Server, make_attempt, make_record, make_services, result, run
from varied_mail import KINDS, Maker

from relaygw import keys
from relaygw.config.schema import SigningRuleConfig
from relaygw.core.content import BytesContent
from relaygw.core.dkim_signature import body_hash, signed_fields
from relaygw.core.envelope import Body
from relaygw.core.mx import Target
from relaygw.core.outcome import Status
from relaygw.core.record import Record, Route
from relaygw.core.signing_table import compile_signing
from relaygw.egress.delivery import Courier, Stop
from relaygw.egress.hop import Hop, TlsMode
from relaygw.egress.parameters import manners
from relaygw.egress.signatories import Signatories, SigningKey

SEED = 20261123
MESSAGES = 1000
LARGE = 10_000_000
PEMS = {algorithm: keys.generate(algorithm) for algorithm in ("rsa", "ed25519")}
RECORDS = {algorithm: keys.record(pem) for algorithm, pem in PEMS.items()}
RULE = SigningRuleConfig(
    name="strict",
    login=("strict",),
    fields=("From", "To", "Subject", "Date", "X-Whatever", "Received-SPF"),
    oversigned=("From", "To", "Subject", "Cc"),
    expire=864_000.0,
)
SIGNATORIES = Signatories(
    [
        SigningKey(domain="example.com", selector=name, algorithm=name, private=keys.load(pem))
        for name, pem in PEMS.items()
    ],
    compile_signing((RULE,)),
)


def signature(record: Record, content: BytesContent) -> bytes:
    """As the signer makes it, in this thread."""
    chosen = SIGNATORIES.choose(record)
    fields = signed_fields(content.head, chosen[0].signature.form)
    digest = body_hash(content.chunks(len(content.head) + 2))
    made = [(each.key, each.signature.unsigned(fields, digest, int(time.time()))) for each in chosen]
    return b"".join(field.signed(key.sign(field.data)) for key, field in made)


def signed(message: bytes, login: str = "a") -> bytes:
    """The message with its signatures as a file has it: the last line ended, as DATA ends it."""
    made = signature(make_record(header_from="example.com", login=login), BytesContent(message))
    return made + ended(message)


def ended(message: bytes) -> bytes:
    return message if message.endswith(b"\r\n") else message + b"\r\n"


def published(name: bytes, timeout: float = 5) -> bytes | None:
    """What the DNS would say."""
    return RECORDS.get(name.partition(b".")[0].decode(), "").encode() or None


def fails_dkimpy(messages: Sequence[bytes]) -> list[int]:
    """The places of messages of which dkimpy does not verify both signatures."""
    failed = []
    for place, message in enumerate(messages):
        verifier = dkim.DKIM(message)
        try:
            good = all(verifier.verify(number, dnsfunc=published) for number in (0, 1))
        except dkim.DKIMException:
            good = False
        if not good:
            failed.append(place)
    return failed


_VERDICT = re.compile(r"opendkim: (\d+): verification")


def fails_opendkim(program: str, folder: Path, messages: Sequence[bytes]) -> list[int]:
    """The same for OpenDKIM; one process looks at all of them."""
    records = "".join(f"{name}._domainkey.example.com {value}\n" for name, value in RECORDS.items())
    (folder / "dns").write_text(records)
    (folder / "conf").write_text(f"Mode v\nSyslog no\nTestDNSData file:{folder / 'dns'}\n")
    for place, message in enumerate(messages):
        (folder / str(place)).write_bytes(message)
    names = ",".join(map(str, range(len(messages))))
    done = subprocess.run(
        [program, "-x", str(folder / "conf"), "-vv", "-t", names],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        cwd=folder,
        timeout=120,
        check=False,
    )
    passed: set[int] = set()
    text = ""
    for line in done.stdout.decode(errors="replace").splitlines():
        text += line
        if found := _VERDICT.match(line):
            if all(re.search(rf"dkim=pass[^;]*header\.s={name}\b", text) for name in PEMS):
                passed.add(int(found[1]))
            text = ""
    return [place for place in range(len(messages)) if place not in passed]


@pytest.mark.interop
def test_opendkim_and_dkimpy_verify_mail_of_every_kind(tmp_path: Path, peer: Callable[[str], str]) -> None:
    program = peer("opendkim")
    print(f"seed {SEED}: message n is the n-th of Maker({SEED}).messages({MESSAGES})")
    logins = itertools.cycle(("a", "a", "strict"))  # every third by a form of its own
    messages = [signed(message, next(logins)) for message in Maker(SEED).messages(MESSAGES, LARGE)]
    assert max(map(len, messages)) > LARGE
    assert (fails_opendkim(program, tmp_path, messages), fails_dkimpy(messages)) == ([], [])


@pytest.mark.interop
def test_they_notice_what_was_changed(tmp_path: Path, peer: Callable[[str], str]) -> None:
    program = peer("opendkim")
    messages = [signed(message) for message in Maker(SEED).messages(KINDS, 20_000)]
    changed = [message.replace(b"Date: Mon", b"Date: Tue") for message in messages]
    changed += [b"From: mallory@example.net\r\n" + message for message in messages]
    changed += [message + b"More\r\n" for message in messages]
    everywhere = list(range(len(changed)))
    assert (fails_opendkim(program, tmp_path, changed), fails_dkimpy(changed)) == (everywhere, everywhere)


@attrs.define
class HereSigner:
    """A signer without threads."""

    async def sign(self, record: Record, content: Any) -> bytes:
        return signature(record, content)


def through_the_wire(message: bytes, server: Server) -> bytes:
    """What the next hop has after the whole of egress carried the message there."""
    reactor = MemoryReactor(lambda address, port: server)
    services = make_services(reactor, signer=HereSigner())
    courier = Courier(services, manners("relay.example", services.settings.egress))
    stop = Stop(target=Target(host="m", address="192.0.2.1"), hop=Hop(tls=TlsMode.NONE))
    record = make_record(header_from="example.com", login="a", body=Body.EIGHT_BIT)
    attempt = make_attempt(record, Route(transport="mx"), BytesContent(message))
    (outcome,) = result(run(reactor, courier.carry(attempt, [stop])))
    assert outcome.status is Status.DELIVERED, outcome
    (arrived,) = server.messages
    return arrived


@pytest.mark.interop
def test_what_comes_out_of_the_wire_verifies(tmp_path: Path, peer: Callable[[str], str]) -> None:
    program = peer("opendkim")
    sample = list(Maker(SEED + 1).messages(3 * KINDS, 300_000))
    stuffed = [through_the_wire(message, Server(("PIPELINING", "8BITMIME"))) for message in sample]
    assert (fails_opendkim(program, tmp_path, stuffed), fails_dkimpy(stuffed)) == ([], [])
    # Octets that DATA would not carry as they are: the last line has no end.
    open_ended = [ended(message) + b"The last line" for message in sample]
    servers = [ChunkServer(("PIPELINING", "8BITMIME", "CHUNKING")) for _ in sample]
    whole = [through_the_wire(message, server) for message, server in zip(open_ended, servers, strict=True)]
    assert all(any(command.startswith("BDAT ") for command in server.commands) for server in servers)
    assert all(message.endswith(b"The last line") for message in whole)
    whole = list(map(ended, whole))  # as verifiers that read files want it; RFC 6376 3.4.4 says the same
    assert (fails_opendkim(program, tmp_path, whole), fails_dkimpy(whole)) == ([], [])
