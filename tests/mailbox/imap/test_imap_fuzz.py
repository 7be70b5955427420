"""Whatever a client sends, in whatever pieces: no fault of ours, no answer out of its grammar, nothing left behind."""

import random
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from imap_harness import MESSAGE, World

from relaygw.core.events import TaskFailed

_COMMANDS = [
    b"NOOP", b"CHECK", b"SELECT INBOX", b"EXAMINE INBOX", b"SELECT x", b"CREATE x", b"DELETE x", b"RENAME INBOX y",
    b"RENAME x z", b"LIST \"\" *", b"LSUB \"\" %", b"SUBSCRIBE x", b"STATUS INBOX (MESSAGES UIDNEXT)", b"CLOSE",
    b"UNSELECT", b"EXPUNGE", b"UID EXPUNGE 1:*", b"SEARCH ALL", b"SEARCH OR TEXT a NOT BODY b", b"UID SEARCH 1:* UID 2",
    b"FETCH 1:* FULL", b"FETCH 1 BODY[1.TEXT]<1.2>", b"UID FETCH 1:* (BODY[] BODYSTRUCTURE)", b"FETCH 9 FLAGS",
    b"STORE 1 +FLAGS (\\Deleted k)", b"UID STORE 1:* FLAGS.SILENT ()", b"STORE 1:* -FLAGS (\\Deleted)", b"COPY 1:* x",
    b"UID COPY 1:2 INBOX", b"MOVE 1 x", b"UID MOVE 2:* INBOX", b"APPEND INBOX {3+}\r\nabc",
    b"APPEND x (\\Seen) {3}\r\nabc",
    b"IDLE\r\nDONE", b"IDLE\r\nx", b"LOGIN a b", b"STARTTLS", b"ID NIL", b"NAMESPACE", b"ENABLE x", b"CAPABILITY",
    b"FETCH 1 (FLAGS", b"{5+}\r\nabcde", b"\xff\x00", b"SELECT {9999999+}\r\n",
]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from(_COMMANDS)), max_size=12))
def test_two_sessions_of_one_account(commands: list[tuple[bool, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        world.deliver(MESSAGE, MESSAGE, MESSAGE)
        clients = (world.select(), world.select())
        for first, command in commands:
            client = clients[first]
            answer = client.say(b"tag " + command + b"\r\n")
            assert not answer or answer.endswith(b"\r\n")
        for client in clients:
            client.lose()
        assert not [event for event in world.events if isinstance(event, TaskFailed)]
        assert not world.store._accounts
        assert world.factory.connections == 0


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.one_of(st.sampled_from(_COMMANDS), st.binary(max_size=20), st.just(b"\r\n"), st.just(b"a ")), max_size=15
    )
)
def test_octets_before_login(pieces: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        client = world.connect()
        for piece in pieces:
            client.server.dataReceived(piece)
        world.settle()
        client.lose()
        assert not [event for event in world.events if isinstance(event, TaskFailed)]
        assert world.factory.connections == 0


def test_every_message_keeps_its_number(tmp_path: Path) -> None:
    """A client that follows the notices knows at every moment which UID a number means, whatever two sessions do."""

    choice = random.Random(7)
    world = World(tmp_path)
    world.deliver(*[MESSAGE] * 8)
    clients = (world.select(), world.select())
    believed = [[n + 1 for n in range(8)] for _ in clients]
    for _ in range(300):
        which = choice.randrange(2)
        number = choice.randint(1, 9)
        command = choice.choice(
            [b"NOOP", b"EXPUNGE", b"STORE %d +FLAGS (\\Deleted)", b"FETCH %d (UID)", b"UID FETCH 1:* (UID)", b"APPEND"]
        )
        command = command % number if b"%d" in command else command
        if command == b"APPEND":
            command = b"APPEND INBOX {3+}\r\nabc"
        for line in clients[which].say(b"a " + command + b"\r\n").split(b"\r\n"):
            _follow(believed[which], line)
    for which, client in enumerate(clients):
        for line in client.say(b"a NOOP\r\n").split(b"\r\n"):
            _follow(believed[which], line)
        for line in client.say(b"a FETCH 1:* (UID)\r\n").split(b"\r\n"):
            _follow(believed[which], line)
        assert 0 not in believed[which]
    assert believed[0] == believed[1]


def _follow(uids: list[int], line: bytes) -> None:
    """Take over one untagged line; 0 stands for a UID not yet seen."""
    words = line.replace(b"(", b"").replace(b")", b"").split()
    if words[:1] != [b"*"] or not words[1].isdigit():
        return
    number = int(words[1])
    if words[2] == b"EXISTS":
        assert number >= len(uids)
        uids.extend([0] * (number - len(uids)))
    elif words[2] == b"EXPUNGE":
        del uids[number - 1]
    elif words[2] == b"FETCH" and b"UID" in words:
        uid = int(words[words.index(b"UID") + 1])
        assert uids[number - 1] in (0, uid)
        uids[number - 1] = uid
