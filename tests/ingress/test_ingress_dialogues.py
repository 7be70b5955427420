"""The transcripts in tests/dialogues/smtp, each played whole, octet by octet and in random pieces, with one result.

A file holds comments (`#`), options of the listener (`! role=submission auth=always client=203.0.113.9`), what the
client sends (`C: line`, with CRLF added; `C< text` without; escapes such as \\n \\0 \\xff work in both) and exactly
what the server answers (`S: line`; `*` stands for anything). Lines of one side that follow each other belong together.
At the end `= closed` or `= open`, and `= stored N`, say what is left.
"""

import fnmatch
import random
from pathlib import Path
from typing import Any

import attrs
import pytest
from ingress_rig import Client, Rig, in_pieces

from relaygw.core.session import Role

FOLDER = Path(__file__).parent.parent / "dialogues" / "smtp"
FILES = sorted(FOLDER.glob("*.txt"))


@attrs.define
class Dialogue:
    options: dict[str, str] = attrs.field(factory=dict)
    turns: list[tuple[bytes, list[str]]] = attrs.field(factory=list)
    ends: list[str] = attrs.field(factory=list)


def read(path: Path) -> Dialogue:
    dialogue = Dialogue()
    heard = True
    for line in path.read_text(encoding="utf-8").splitlines():
        kind, text = line[:2], line[3:]
        if kind in ("C:", "C<"):
            if heard:
                dialogue.turns.append((b"", []))
                heard = False
            sent = text.encode("latin-1").decode("unicode_escape").encode("latin-1")
            before, answers = dialogue.turns[-1]
            dialogue.turns[-1] = (before + sent + (b"\r\n" if kind == "C:" else b""), answers)
        elif kind == "S:":
            if not dialogue.turns:
                dialogue.turns.append((b"", []))
            dialogue.turns[-1][1].append(text)
            heard = True
        elif kind == "! ":
            dialogue.options.update(word.split("=", 1) for word in line[2:].split())
        elif kind == "= ":
            dialogue.ends.append(line[2:])
        else:
            assert not line or line.startswith("#"), line
    return dialogue


class NoHandshake:
    context_factory: Any = object()


def begin(dialogue: Dialogue) -> tuple[Rig, Client]:
    options = dict(dialogue.options)
    client = options.pop("client", "192.0.2.1")
    tls = NoHandshake() if options.pop("tls", "") else None
    rig = Rig(role=Role(options.pop("role", "mx")), auth=options.pop("auth", None), tls=tls)
    assert not options, options
    return rig, rig.connect(client)


def play(path: Path, sizes: Any) -> tuple[str, list[bytes]]:
    dialogue = read(path)
    rig, client = begin(dialogue)
    said = ""
    for sent, expected in dialogue.turns:
        for piece in in_pieces(sent, sizes):
            client.feed(piece)
        rig.clock.advance(2)  # a refused login is answered late
        heard = client.heard()
        client.wire.clear()
        lines = heard.split("\r\n")[:-1]
        assert len(lines) == len(expected), f"{path.name}: {sent!r} was answered {lines}"
        for line, pattern in zip(lines, expected, strict=True):
            assert fnmatch.fnmatchcase(line, pattern.replace("[", "[[]")), f"{path.name}: {line!r} is not {pattern!r}"
        said += heard
    for end in dialogue.ends:
        found = {"closed": not client.open, "open": client.open}.get(end)
        assert found if found is not None else end == f"stored {len(rig.stored())}", f"{path.name}: {end}"
    return said, rig.stored()


def test_there_are_dialogues() -> None:
    assert len(FILES) >= 8


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_dialogue(path: Path) -> None:
    whole = play(path, lambda: 1 << 20)
    assert play(path, lambda: 1) == whole
    chance = random.Random(path.name)
    for longest in (3, 10, 40):
        assert play(path, lambda longest=longest: chance.randint(1, longest)) == whole
