"""Knowing who sent it: messages per second through SPF, DKIM (RSA-2048) and, on our side only, DMARC: relaygw, and
Postfix with OpenDKIM and policyd-spf, in turn, several rounds. Signed messages come in as to an MX.

    python benchmarks/auth.py [--rounds 3] [--messages 2000] [--json]

The figure that counts is `accepted`: messages checked, durable and answered 250 in a second, where the next hop costs
nothing (both servers discard what they have taken). `delivered` is the same on through to smtp-sink, until it has taken
the last one. Both ask one local resolver with a warm cache: relaygw over its own cache, policyd-spf, a process of
Python for each smtpd, over none, as always; OpenDKIM is spared the question and has the key in a file. Both write their
logs. Before anything is measured, each server has to show its findings in the header of a message. What the checks cost
is the CPU per message with them, less that of the same server without. Figures are medians of the rounds; the last
column is relaygw : peer. policyd-spf runs under the system's interpreter, which its maker built with profiles: run this
under the same one for a fair comparison (an interpreter built without costs relaygw about a tenth). Needs root, for
Postfix.
"""

import argparse
import base64
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import attrs
import costs
import names
import rig
import tables
from catcher import Make, prove
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from dkim import sign

CASES = {
    "2 KB, 20 sessions": (2048, 20),
    "2 KB, 100 sessions": (2048, 100),
    "100 KB, 20 sessions": (102400, 20),
}
"""Octets of a message, and how many clients send at a time."""
SENDER = "sender@sender.test"
PEER = "Postfix + OpenDKIM + policyd-spf"
KEY_NAME = "s1._domainkey.sender.test"

_ZONE = """\
sender.test. 3600 IN TXT "v=spf1 include:_spf.sender.test -all"
_spf.sender.test. 3600 IN TXT "v=spf1 ip4:192.0.2.0/24 ip4:127.0.0.0/8 -all"
_dmarc.sender.test. 3600 IN TXT "v=DMARC1; p=reject"
client.example.test. 3600 IN A 127.0.0.1
client.example.test. 3600 IN TXT "v=spf1 a -all"
"""

PLAIN = ("loop", "size")
CHECKS = ("spf", "dkim", "dmarc")

FOUND = {
    "relaygw": (rb"spf=pass", rb"dkim=pass", rb"dmarc=pass"),
    PEER: (rb"Received-SPF: Pass", rb"dkim=pass"),
}
"""What has to stand in the header of a message that a server let through."""


@attrs.define
class Figures:
    """What one server showed: per case a list over the rounds. `accepted` and `cpu` where it discards what it has
    taken, `plain` the same without its checks, `delivered` where it hands it to the sink."""

    accepted: dict[str, list[float]] = attrs.field(factory=dict)
    cpu: dict[str, list[float]] = attrs.field(factory=dict)
    plain: dict[str, list[float]] = attrs.field(factory=dict)
    delivered: dict[str, list[float]] = attrs.field(factory=dict)

    def added(self, case: str) -> float:
        """CPU milliseconds that the checks add to a message."""
        return statistics.median(self.cpu[case]) - statistics.median(self.plain[case])


@attrs.frozen
class Side:
    """A server with its checks, discarding what it takes; the same without its checks; and one that delivers."""

    checking: "Make"
    plain: "Make"
    delivering: "Make"
    figures: Figures = attrs.field(factory=Figures)


DISCARD = '[[route]]\nname = "nowhere"\nmatch = { recipient = ["dest.test"] }\ntransport = "discard"\n\n[[route]]\n'


def relaygw(
    sink_port: int, nameserver: int, uses: Sequence[str], *, discard: bool
) -> AbstractContextManager[rig.Server]:
    """relaygw as an MX for dest.test, which trusts nobody, and passes on to the sink what these filters let through."""
    filters = "".join(f'[[filter]]\nuse = "{use}"\n\n' for use in uses)

    def change(text: str) -> str:
        text = re.sub(r"trusted_networks = \[.*?\]", "trusted_networks = []", text)
        text = text.replace("relay_domains = []", 'relay_domains = ["dest.test"]')
        text = re.sub(r"# Filters are asked.*?(?=# Routes are read)", lambda _: filters, text, flags=re.DOTALL)
        text = text.replace("[[route]]\n", DISCARD, 1) if discard else text
        return f'{text}\n[dns]\nnameservers = ["127.0.0.1:{nameserver}"]\n'

    return rig.relaygw(sink_port, change=change)


def message(key: RSAPrivateKey, size: int) -> bytes:
    """A signed message of about this size, as smtp-source wants a file: lines without CR."""
    line = b"The quick brown fox jumps over the lazy dog, and signs for it 0123456789.\r\n"
    head = (
        b"From: Sender <sender@sender.test>\r\nTo: rcpt@dest.test\r\nSubject: a signed message\r\n"
        b"Date: Mon, 23 Nov 2026 06:00:00 +0000\r\nMessage-ID: <1@sender.test>\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: text/plain; charset=us-ascii\r\n\r\n"
    )
    text = head + line * max(1, (size - len(head) - 600) // len(line))
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    field: bytes = sign(text, b"s1", b"sender.test", pem, canonicalize=(b"relaxed", b"relaxed"))
    return (field + text).replace(b"\r\n", b"\n")


def record(key: RSAPrivateKey) -> str:
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return f"v=DKIM1; k=rsa; p={base64.b64encode(public).decode()}"


def zone(key: RSAPrivateKey) -> str:
    value = record(key)
    pieces = " ".join(f'"{value[start : start + 250]}"' for start in range(0, len(value), 250))
    return f"{_ZONE}{KEY_NAME}. 3600 IN TXT ( {pieces} )\n"


def measure(make: Make, sink: rig.Sink, files: dict[str, Path], messages: int) -> Iterator[tuple[str, float, float]]:
    """For each case the messages accepted in a second, and the CPU milliseconds of each."""
    with make(sink.port) as server:
        _warm(server, files)
        time.sleep(2)
        for case, file in files.items():
            count, cpu = _count(case, messages), costs.cpu_seconds(server.roots)
            seconds = rig.source(server.port, messages=count, sessions=CASES[case][1], file=file, sender=SENDER)
            time.sleep(1)  # what is done after the last 250 is part of the price
            yield case, count / seconds, (costs.cpu_seconds(server.roots) - cpu) * 1000 / count


def measure_delivery(make: Make, sink: rig.Sink, files: dict[str, Path], messages: int) -> Iterator[tuple[str, float]]:
    """For each case the messages that reached the sink in a second."""
    with make(sink.port) as server:
        _warm(server, files)
        time.sleep(3)
        for case, file in files.items():
            count = _count(case, messages)
            target, started = sink.messages + count, time.monotonic()
            rig.source(server.port, messages=count, sessions=CASES[case][1], file=file, sender=SENDER)
            if not sink.wait(target, 300):
                sys.exit(f"{server.name}: only {sink.messages} of {target} messages came out")
            yield case, count / (time.monotonic() - started)


def _warm(server: rig.Server, files: dict[str, Path]) -> None:
    """Caches filled, and as many processes as will be wanted."""
    most = max(sessions for _, sessions in CASES.values())
    rig.source(server.port, messages=4 * most, sessions=most, file=next(iter(files.values())), sender=SENDER)


def _count(case: str, messages: int) -> int:
    return messages if CASES[case][0] < 10_000 else max(messages // 4, 1)


def measure_side(side: Side, sink: rig.Sink, files: dict[str, Path], messages: int) -> str:
    """All three variants of a server; a line on how it went."""
    told, figures = [], side.figures
    for case, rate, cpu in measure(side.checking, sink, files, messages):
        figures.accepted.setdefault(case, []).append(rate)
        figures.cpu.setdefault(case, []).append(cpu)
        told.append(f"{case} {rate:.0f}/s, {cpu:.2f} ms")
    for case, rate, cpu in measure(side.plain, sink, files, messages):
        figures.plain.setdefault(case, []).append(cpu)
        told.append(f"without checks {case} {rate:.0f}/s, {cpu:.2f} ms")
    for case, rate in measure_delivery(side.delivering, sink, files, messages):
        figures.delivered.setdefault(case, []).append(rate)
        told.append(f"delivered {case} {rate:.0f}/s")
    return "; ".join(told)


def rows(ours: Figures, theirs: Figures) -> list[dict[str, Any]]:
    """One row a figure, with the ratio of medians (relaygw : peer)."""
    middle, found = statistics.median, []
    for case in CASES:
        added = [max(figures.added(case), 0.001) for figures in (ours, theirs)]
        for label, unit, us, them in (
            (
                f"accepted, {case}",
                "/s",
                middle(ours.accepted[case]),
                middle(theirs.accepted[case]),
            ),
            (
                f"delivered, {case}",
                "/s",
                middle(ours.delivered[case]),
                middle(theirs.delivered[case]),
            ),
            (f"CPU per message, {case}", "ms", middle(ours.cpu[case]), middle(theirs.cpu[case])),
            (f"of it the checks, {case}", "ms", *added),
            (f"checks of a core, {case}", "/s", *(1000 / each for each in added)),
        ):
            found.append({"figure": label, "unit": unit, "relaygw": us, "peer": them, "ratio": us / them})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--messages", type=int, default=2000, help="per round at 2 KB; a quarter of it at 100 KB")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    key = generate_private_key(public_exponent=65537, key_size=2048)
    sink = rig.Sink()
    with tempfile.TemporaryDirectory(prefix="bench-auth-") as folder, names.serve(zone(key)) as nameserver:
        files = {case: Path(folder) / f"{size}.eml" for case, (size, _) in CASES.items()}
        for case, file in files.items():
            file.write_bytes(message(key, CASES[case][0]))
        ours = Side(
            checking=lambda port: relaygw(port, nameserver, (*PLAIN, *CHECKS), discard=True),
            plain=lambda port: relaygw(port, nameserver, PLAIN, discard=True),
            delivering=lambda port: relaygw(port, nameserver, (*PLAIN, *CHECKS), discard=False),
        )
        key_record = f"{KEY_NAME} {record(key)}"
        theirs = Side(
            checking=lambda port: rig.verifying_postfix(port, nameserver, key_record, settings=rig.DISCARDING),
            plain=lambda port: rig.receiving_postfix(port, settings=rig.DISCARDING),
            delivering=lambda port: rig.verifying_postfix(port, nameserver, key_record),
        )
        try:
            for name, side in (("relaygw", ours), (PEER, theirs)):
                prove(side.delivering, FOUND[name], file=next(iter(files.values())), sender=SENDER)
            for number in range(options.rounds):
                for name, side in (("relaygw", ours), (PEER, theirs)):
                    told = measure_side(side, sink, files, options.messages)
                    print(f"round {number + 1}: {name}: {told}", file=sys.stderr)
        finally:
            sink.stop()
    tables.tell(rows(ours.figures, theirs.figures), PEER, options)


if __name__ == "__main__":
    main()
