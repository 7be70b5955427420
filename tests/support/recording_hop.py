"""A next hop on loopback for tests with real processes: takes everything, by DATA and BDAT, and keeps what was said."""

import contextlib
import socket
import threading
import time
from collections.abc import Sequence
from typing import BinaryIO

import attrs


@attrs.define
class RecordingHop:
    """`offers` are its extensions; `commands` what clients sent, in order; `contents` is every content it answers 250
    for, each there before the answer. `delay` seconds pass before that, so that a crash finds answers on their way.
    """

    offers: Sequence[str] = ("PIPELINING", "8BITMIME")
    delay: float = 0.0
    contents: list[bytes] = attrs.field(factory=list)
    commands: list[str] = attrs.field(factory=list)
    port: int = 0
    _socket: socket.socket | None = None

    def __enter__(self) -> "RecordingHop":
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._socket is not None:
            self._socket.close()

    def said(self, verb: str) -> list[str]:
        return [command for command in self.commands if command.startswith(verb)]

    def _accept(self) -> None:
        assert self._socket is not None
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as stream:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(b"220 hop.test ESMTP\r\n")
            while line := stream.readline():
                command = line.decode().rstrip("\r\n")
                self.commands.append(command)
                answer = self._answer(command, stream, connection)
                connection.sendall(answer)
                if not answer or command == "QUIT":
                    return

    def _answer(self, command: str, stream: BinaryIO, connection: socket.socket) -> bytes:
        """What it says; nothing where the client went away within a content."""
        verb, _, argument = command.partition(" ")
        if verb == "EHLO":
            lines = ["hop.test", *self.offers]
            return "".join(
                f"250{' ' if n == len(lines) - 1 else '-'}{line}\r\n" for n, line in enumerate(lines)
            ).encode()
        if verb == "DATA":
            connection.sendall(b"354 go on\r\n")
            return self._take(_until_dot(stream))
        if verb == "BDAT":
            size, _, last = argument.partition(" ")
            content = stream.read(int(size))
            assert last == "LAST"
            return self._take(content if len(content) == int(size) else None)
        return b"221 2.0.0 bye\r\n" if verb == "QUIT" else b"250 2.0.0 ok\r\n"

    def _take(self, content: bytes | None) -> bytes:
        if content is None:
            return b""
        time.sleep(self.delay)
        self.contents.append(content)
        return b"250 2.0.0 taken\r\n"


def _until_dot(stream: BinaryIO) -> bytes | None:
    """The content, None where it has no end."""
    lines = []
    while line := stream.readline():
        if line == b".\r\n":
            return b"".join(lines)
        lines.append(line[1:] if line.startswith(b".") else line)
    return None
