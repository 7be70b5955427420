"""Dialogues as files, `tests/data/imap/*.dialogue`: the answers are the same whole, byte by byte and however split.

`C: ` lines are the client's, `S: ` lines the server's, each ended by CRLF; `#` begins a comment.
"""

import random
from pathlib import Path

import pytest
from imap_harness import Client, World

DATA = Path(__file__).parents[2] / "data" / "imap"
DIALOGUES = sorted(DATA.glob("*.dialogue"))


def read(path: Path) -> list[tuple[bytes, bytes]]:
    """Pairs of what the client says and what it is answered."""
    pairs: list[tuple[bytes, bytes]] = []
    for line in path.read_bytes().split(b"\n"):
        side, text = line[:3], line[3:] + b"\r\n"
        if side == b"C: ":
            if not pairs or pairs[-1][1]:
                pairs.append((b"", b""))
            pairs[-1] = (pairs[-1][0] + text, b"")
        elif side == b"S: ":
            pairs = pairs or [(b"", b"")]
            pairs[-1] = (pairs[-1][0], pairs[-1][1] + text)
    return pairs


def start(path: Path) -> Client:
    return World(path).connect()


@pytest.mark.parametrize("path", DIALOGUES, ids=lambda path: path.stem)
def test_turn_by_turn(path: Path, tmp_path: Path) -> None:
    client = start(tmp_path)
    for said, expected in read(path):
        assert client.say(said) == expected if said else client.read() == expected


@pytest.mark.parametrize("path", DIALOGUES, ids=lambda path: path.stem)
@pytest.mark.parametrize("seed", range(6))
def test_however_the_bytes_are_cut(path: Path, seed: int, tmp_path: Path) -> None:
    """Seed 0: all at once; 1: byte by byte; the others: at random."""
    pairs = read(path)
    said = b"".join(pair[0] for pair in pairs)
    choice = random.Random(seed)
    size = {0: lambda: len(said), 1: lambda: 1}.get(seed, lambda: choice.randint(1, 200))
    client = start(tmp_path)
    place = 0
    while place < len(said):
        step = size()
        client.server.dataReceived(said[place : place + step])
        if choice.random() < 0.5:
            client.world.settle()
        place += step
    client.world.settle()
    assert client.read() == b"".join(pair[1] for pair in pairs)


def test_there_are_dialogues() -> None:
    assert len(DIALOGUES) >= 2
