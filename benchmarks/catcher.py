"""Whether a server really does what a benchmark says it does: one message goes through it and is looked at."""

import socketserver
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import rig

Make = Callable[[int], AbstractContextManager[rig.Server]]
"""Starts a server whose next hop listens on this port of 127.0.0.1."""


class Catcher:
    """A next hop that keeps the content of one message."""

    def __init__(self) -> None:
        self.content = b""
        self.caught = threading.Event()
        catcher = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                catcher._talk(self)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _talk(self, client: socketserver.StreamRequestHandler) -> None:
        client.wfile.write(b"220 catcher\r\n")
        for line in client.rfile:
            if line.upper().startswith(b"DATA"):
                client.wfile.write(b"354 go on\r\n")
                self.content = b"".join(iter(client.rfile.readline, b".\r\n"))
                self.caught.set()
            client.wfile.write(b"221 bye\r\n" if line.upper().startswith(b"QUIT") else b"250 ok\r\n")

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def prove(make: Make, words: Sequence[bytes], **message: object) -> None:
    """Ends the benchmark unless the server lets a message through that has all these words in its header. `message` is
    what `rig.source` takes."""
    catcher = Catcher()
    try:
        with make(catcher.port) as server:
            rig.source(server.port, messages=1, sessions=1, **message)
            if not catcher.caught.wait(30):
                sys.exit(f"{server.name}: nothing came out")
            head = catcher.content.partition(b"\r\n\r\n")[0]
            missing = [each.decode() for each in words if each not in head]
            if missing:
                sys.exit(f"{server.name} does not show {', '.join(missing)} in:\n{head.decode(errors='replace')}")
    finally:
        catcher.stop()
