"""The transcripts in tests/dialogues/smtp, each played whole, octet by octet and in random pieces, with one result.

A file holds comments (`#`), options of the listener (`! role=submission auth=always client=203.0.113.9`), what the
client sends (`C: line`, with CRLF added; `C< text` without; escapes such as \\n \\0 \\xff work in both) and exactly
what the server answers (`S: line`; `*` stands for anything, a line `250-...` for the rest of what EHLO says). Lines of
one side that follow each other belong together.
What is so then: `= closed` or `= open`, `= stored N`, and of the newest message `= ends TEXT` and `= holds TEXT` (on
unfolded lines).
"""

import fnmatch
import random
from itertools import takewhile
from pathlib import Path
from typing import Any

import attrs
import pytest
from ingress_rig import Client, Rig, Wire, in_pieces
from twisted.internet.address import IPv4Address

from relaygw.config.schema import LimitsConfig
from relaygw.core.scram import derive_keys
from relaygw.core.session import Role
from relaygw.gateway.proxied import Hall

FOLDER = Path(__file__).parent.parent / "dialogues" / "smtp"
FILES = sorted(FOLDER.glob("*.txt"))


@attrs.define
class Dialogue:
    options: dict[str, str] = attrs.field(factory=dict)
    turns: list[tuple[bytes, list[str], list[str]]] = attrs.field(factory=list)


def unescaped(text: str) -> bytes:
    return text.encode("latin-1").decode("unicode_escape").encode("latin-1")


def read(path: Path) -> Dialogue:
    dialogue = Dialogue()
    heard = True
    for line in path.read_text(encoding="utf-8").splitlines():
        kind, text = line[:2], line[3:]
        if kind in ("C:", "C<"):
            if heard:
                dialogue.turns.append((b"", [], []))
                heard = False
            before, answers, ends = dialogue.turns[-1]
            dialogue.turns[-1] = (before + unescaped(text) + (b"\r\n" if kind == "C:" else b""), answers, ends)
        elif kind == "S:":
            if not dialogue.turns:
                dialogue.turns.append((b"", [], []))
            dialogue.turns[-1][1].append(text)
            heard = True
        elif kind == "! ":
            dialogue.options.update(word.split("=", 1) for word in line[2:].split())
        elif kind == "= ":
            dialogue.turns[-1][2].append(line[2:])
        else:
            assert not line or line.startswith("#"), line
    return dialogue


class NoHandshake:
    context_factory: Any = object()


LIMITS = {
    "recipients": "recipients",
    "messages": "messages",
    "size": "message_size",
    "errors": "errors",
    "unknown_recipients": "unknown_recipients",
}


_KEYS = derive_keys("correct horse", b"0123456789abcdef", 4096)
SCRAM = {
    "keys": lambda name: _KEYS if name == "user" else None,
    "rounds": lambda: (4096,),
    "nonce": lambda: b"servers",
    "secret": lambda: b"kept",
}
"""For `scram=yes`: a user with keys, and nothing left to chance."""


def begin(dialogue: Dialogue) -> tuple[Rig, Client]:
    """The listener the options describe, and a client: `client=-` is one on a UNIX socket, `proxy` one of a load
    balancer, `secure` one behind a handshake."""
    options = dict(dialogue.options)
    client = options.pop("client", "192.0.2.1")
    tls = NoHandshake() if options.pop("tls", "") else None
    proxy, secure = options.pop("proxy", ""), options.pop("secure", "")
    limits = LimitsConfig(**{LIMITS[name]: int(options.pop(name)) for name in LIMITS if name in options})
    listener: dict[str, Any] = {"protocol": options.pop("protocol", "smtp")}
    listener["trust_socket"] = bool(options.pop("trust_socket", ""))
    role, auth = Role(options.pop("role", "mx")), options.pop("auth", None)
    house: dict[str, Any] = {"line_ends": options.pop("line_ends", "reject")}
    if binding := options.pop("binding", ""):
        exempt = options.pop("exempt_trusted", "yes") == "yes"
        table = {"other": ["news@here.test", ".lists.test"], "postmaster": ["*"]}
        house["binding"] = {"header": binding == "both", "exempt_trusted": exempt, "table": table}
    if banned := options.pop("banned", ""):
        house["shut"] = lambda client: client if client == banned else None
    logins = SCRAM if options.pop("scram", "") else None
    assert not options, options
    rig = Rig(role=role, auth=auth, tls=tls, limits=limits, listener=listener, logins=logins, **house)
    if proxy:
        return rig, through_a_proxy(rig, client)
    connected = rig.connect(client)
    if secure:
        connected.secure()
    return rig, connected


class ProxiedClient(Client):
    """Its protocol changes when the header is read."""

    def feed(self, data: bytes) -> None:
        self.protocol = self.wire.protocol
        super().feed(data)


def through_a_proxy(rig: Rig, proxy: str) -> Client:
    address = IPv4Address("TCP", proxy, 40_000)
    left: list[Hall] = []
    hall = Hall(rig.clock, address, rig.factory.buildProtocol, left.append, lambda reason: None)
    wire = Wire(address)
    wire.protocol = hall
    hall.makeConnection(wire)
    return ProxiedClient(hall, wire)


def spread(expected: list[str], lines: list[str]) -> list[str]:
    """`250-...` stands for as many lines that begin with `250-` as there are."""
    if "250-..." not in expected:
        return expected
    place = expected.index("250-...")
    counts = [
        len(list(takewhile(lambda line: line.startswith("250-"), each)))
        for each in (lines[place:], expected[place + 1 :])
    ]
    return [*expected[:place], *["250-*"] * (counts[0] - counts[1]), *expected[place + 1 :]]


def play(path: Path, sizes: Any) -> tuple[str, list[bytes]]:
    dialogue = read(path)
    rig, client = begin(dialogue)
    said = ""
    for sent, expected, ends in dialogue.turns:
        for piece in in_pieces(sent, sizes):
            client.feed(piece)
        rig.clock.advance(2)  # a refused login is answered late
        heard = client.heard()
        client.wire.clear()
        lines = heard.split("\r\n")[:-1]
        expected = spread(expected, lines)
        assert len(lines) == len(expected), f"{path.name}: {sent!r} was answered {lines}"
        for line, pattern in zip(lines, expected, strict=True):
            assert fnmatch.fnmatchcase(line, pattern.replace("[", "[[]")), f"{path.name}: {line!r} is not {pattern!r}"
        said += heard
        for end in ends:
            assert holds(rig, client, end), f"{path.name}: {end}"
    return said, rig.stored()


def holds(rig: Rig, client: Client, end: str) -> bool:
    """Whether this is so now."""
    word, _, text = end.partition(" ")
    wanted = unescaped(text)
    if word in ("open", "closed"):
        return client.open is (word == "open")
    if word == "stored":
        return len(rig.stored()) == int(text)
    newest = rig.stored()[-1]
    return newest.endswith(wanted) if word == "ends" else wanted in newest.replace(b"\r\n\t", b" ")


def test_there_are_dialogues() -> None:
    assert len(FILES) >= 8


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_dialogue(path: Path) -> None:
    whole = play(path, lambda: 1 << 20)
    assert play(path, lambda: 1) == whole
    chance = random.Random(path.name)
    for longest in (3, 10, 40):
        assert play(path, lambda longest=longest: chance.randint(1, longest)) == whole
