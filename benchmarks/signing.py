"""What a DKIM signature costs: the bare private-key operation of `cryptography`, relaygw and dkimpy, in turn, several
rounds, in one process.

    python benchmarks/signing.py [--rounds 5] [--messages 1000] [--json]

The figure that counts is CPU time per message, all threads together, with the key loaded. `bare` is RSA-2048 alone
(PKCS #1 v1.5, SHA-256 of 32 octets). `relaygw` is a signature through the service's own signer, 20 messages at once,
threads and hand-over included; `relaygw, one thread` is the same work without them. `dkimpy` signs the same fields in
the same form, and reads its key anew for each message, as its interface wants. Before anything is measured, dkimpy has
to verify what each made. Figures are medians of the rounds; `x bare` is the price in bare operations, `x dkimpy` the
rate against dkimpy's.
"""

import argparse
import base64
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import attrs
import dkim
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import react

from relaygw import keys
from relaygw.core.content import BytesContent
from relaygw.core.dkim_signature import SIGNED_FIELDS, body_hash, signed_fields
from relaygw.core.envelope import Envelope
from relaygw.core.record import Record
from relaygw.egress.dkim import DkimSigner
from relaygw.egress.signatories import Chosen, Signatories, SigningKey

AT_ONCE = 20
WANTED_PRICE, WANTED_RATE = 1.5, 10.0

_HEAD = (
    b"Received: from client.example.net (client.example.net [192.0.2.7])\r\n"
    b"\tby relay.example.com (relaygw) with ESMTPSA id 01kcz3m9d2x4\r\n"
    b"\tfor <bob@example.org>; Mon, 23 Nov 2026 08:40:00 +0000\r\n"
    b"From: Alice Example <alice@example.com>\r\nTo: Bob Example <bob@example.org>\r\n"
    b"Subject: A subject of the usual length, as mail has it\r\nDate: Mon, 23 Nov 2026 08:39:54 +0000\r\n"
    b"Message-ID: <20261123083954.4711@example.com>\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\nUser-Agent: example/1.0\r\n\r\n"
)
_LINE = b"A line of seventy-six octets, which is what people and programs write a lot.\r\n"


def message(size: int) -> bytes:
    """A message of about this size, in plain text."""
    return _HEAD + _LINE * ((size - len(_HEAD)) // len(_LINE))


@attrs.frozen(kw_only=True)
class Case:
    """A message, and the algorithms of the keys that sign it."""

    name: str
    content: BytesContent
    algorithms: tuple[str, ...]


CASES = (
    Case(name="2 KB, RSA-2048", content=BytesContent(message(2048)), algorithms=("rsa",)),
    Case(name="100 KB, RSA-2048", content=BytesContent(message(102_400)), algorithms=("rsa",)),
    Case(name="2 KB, Ed25519", content=BytesContent(message(2048)), algorithms=("ed25519",)),
    Case(name="2 KB, both", content=BytesContent(message(2048)), algorithms=("rsa", "ed25519")),
)
COUNTS = CASES[0].name
"""The case that has a target."""


class Bench:
    """The keys, read once, and the three ways to sign with them."""

    def __init__(self, reactor: Any, messages: int) -> None:
        self.reactor = reactor
        self.messages = messages
        self.pems = {algorithm: keys.generate(algorithm) for algorithm in ("rsa", "ed25519")}
        self.ready = {name: _ready(name, pem) for name, pem in self.pems.items()}
        self.ways: dict[str, Callable[[Case], Awaitable[float]]] = {
            "relaygw": self.relaygw,
            "relaygw, one thread": self.one_thread,
            "dkimpy": self.dkimpy,
        }

    async def bare(self) -> float:
        private, padding, digest = self.ready["rsa"].private, PKCS1v15(), SHA256()
        assert isinstance(private, RSAPrivateKey)
        return _cpu(lambda: private.sign(b"x" * 32, padding, digest), self.messages)

    async def relaygw(self, case: Case) -> float:
        """Through the signer of the service: CPU of all threads, for each message."""
        signer, record = self._signer(case), _record(case)
        try:
            await _many(signer, record, case.content, AT_ONCE)  # its threads are there
            started = time.process_time()
            await _many(signer, record, case.content, self.messages)
            return (time.process_time() - started) * 1e6 / self.messages
        finally:
            signer.stop()

    async def one_thread(self, case: Case) -> float:
        chosen = Signatories(self._keys(case)).choose(_record(case))
        return _cpu(lambda: _in_one_thread(chosen, case.content), self.messages)

    async def dkimpy(self, case: Case) -> float:
        times = max(self.messages // 20, 5)
        return _cpu(lambda: [self._by_dkimpy(name, case) for name in case.algorithms], times)

    async def prove(self, case: Case) -> None:
        """Ends the benchmark where a signature does not hold."""
        signer = self._signer(case)
        made = {
            "relaygw": await signer.sign(_record(case), case.content),
            "relaygw, one thread": _in_one_thread(Signatories(self._keys(case)).choose(_record(case)), case.content),
            "dkimpy": b"".join(self._by_dkimpy(name, case) for name in case.algorithms),
        }
        signer.stop()
        for way, fields in made.items():
            verifier = dkim.DKIM(fields + case.content.data)
            if not all(verifier.verify(number, dnsfunc=self._published) for number in range(len(case.algorithms))):
                sys.exit(f"{case.name}: what {way} signed does not verify")

    def _keys(self, case: Case) -> list[SigningKey]:
        return [self.ready[name] for name in case.algorithms]

    def _signer(self, case: Case) -> DkimSigner:
        return DkimSigner(self._keys(case), lambda _: False, self.reactor)

    def _by_dkimpy(self, algorithm: str, case: Case) -> bytes:
        head = case.content.head.lower()
        pem = self.pems[algorithm]
        if algorithm == "ed25519":  # as its own tool stores such a key
            raw = self.ready[algorithm].private.private_bytes_raw()  # type: ignore[union-attr]  # an Ed25519 key
            pem = base64.b64encode(raw)
        field: bytes = dkim.sign(
            case.content.data,
            algorithm.encode(),
            b"example.com",
            pem,
            canonicalize=(b"relaxed", b"relaxed"),
            include_headers=[b"from", *(name for name in SIGNED_FIELDS if b"\n" + name + b":" in head)],
            signature_algorithm=f"{algorithm}-sha256".encode(),
        )
        return field

    def _published(self, name: bytes, timeout: float = 5) -> bytes | None:
        pem = self.pems.get(name.decode().partition(".")[0])
        return keys.record(pem).encode() if pem is not None else None


def _ready(algorithm: str, pem: bytes) -> SigningKey:
    return SigningKey(domain="example.com", selector=algorithm, algorithm=algorithm, private=keys.load(pem))


def _record(case: Case) -> Record:
    """As a login would have brought it."""
    envelope = Envelope(sender=None, recipients=())
    return Record(
        queue_id="01kcz3m9d2x4",
        envelope=envelope,
        arrived=0.0,
        recipients=(),
        login="alice",
        header_from="example.com",
        size=case.content.size,
    )


async def _many(signer: DkimSigner, record: Record, content: BytesContent, messages: int) -> None:
    for _ in range(messages // AT_ONCE):
        await gatherResults([Deferred.fromCoroutine(signer.sign(record, content)) for _ in range(AT_ONCE)])


def _in_one_thread(chosen: Chosen, content: BytesContent) -> bytes:
    """Every step of the signer but its threads."""
    head = content.head
    fields, digest = signed_fields(head, chosen[0].signature.form), body_hash(content.chunks(len(head) + 2))
    made = [(each.key, each.signature.unsigned(fields, digest, 1_795_424_400)) for each in chosen]
    return b"".join(field.signed(key.sign(field.data)) for key, field in made)


def _cpu(work: Callable[[], object], times: int) -> float:
    """Microseconds of CPU for one of so many."""
    started = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - started) * 1e6 / times


async def measure(bench: Bench, rounds: int, told: Callable[[str], None]) -> list[dict[str, Any]]:
    """One row a case and way, from all rounds."""
    bare: list[float] = []
    found: dict[tuple[str, str], list[float]] = {}
    for case in CASES:
        await bench.prove(case)
    for number in range(rounds):
        bare.append(await bench.bare())
        for case in CASES:
            for way, sign in bench.ways.items():
                found.setdefault((case.name, way), []).append(await sign(case))
        told(f"round {number + 1}: bare {bare[-1]:.0f} us, {COUNTS}: {found[COUNTS, 'relaygw'][-1]:.0f} us")
    return list(_rows(statistics.median(bare), {key: statistics.median(each) for key, each in found.items()}))


def _rows(bare: float, found: dict[tuple[str, str], float]) -> Iterator[dict[str, Any]]:
    yield {"case": "bare RSA-2048", "way": "cryptography", "microseconds": bare, "x_bare": 1.0, "x_dkimpy": None}
    for (case, way), microseconds in found.items():
        yield {
            "case": case,
            "way": way,
            "microseconds": microseconds,
            "x_bare": microseconds / bare if "RSA" in case else None,
            "x_dkimpy": found[case, "dkimpy"] / microseconds,
        }


def _text(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield f"{'':20}{'':22}{'CPU us':>9}{'x bare':>9}{'x dkimpy':>10}"
    for row in rows:
        ratios = "".join(
            f"{row[name]:>{width}.2f}" if row[name] is not None else " " * width
            for name, width in (("x_bare", 9), ("x_dkimpy", 10))
        )
        yield f"{row['case']:20}{row['way']:22}{row['microseconds']:>9.1f}{ratios}"


async def run(reactor: Any, options: argparse.Namespace) -> None:
    if not options.json:
        print(f"{options.rounds} rounds of {options.messages} messages")
    rows = await measure(Bench(reactor, options.messages), options.rounds, (lambda _: None) if options.json else print)
    (ours,) = (row for row in rows if (row["case"], row["way"]) == (COUNTS, "relaygw"))
    met = ours["x_bare"] <= WANTED_PRICE and ours["x_dkimpy"] >= WANTED_RATE
    if options.json:
        print(json.dumps({"rounds": options.rounds, "messages": options.messages, "rows": rows, "met": met}, indent=2))
        return
    print(*_text(rows), sep="\n")
    print(f"wanted at {COUNTS}: at most {WANTED_PRICE} x bare and {WANTED_RATE:g} x dkimpy: {'yes' if met else 'NO'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--messages", type=int, default=1000, help="per round and way; dkimpy signs a twentieth of it")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.rounds < 1 or options.messages < AT_ONCE:
        parser.error(f"at least one round and {AT_ONCE} messages are wanted")
    react(lambda reactor: Deferred.fromCoroutine(run(reactor, options)))


if __name__ == "__main__":
    main()
