"""A large body, and the end of it, is a matter of a thread; of a small one the reactor's own."""

import threading
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import inlineCallbacks
from twisted.trial.unittest import TestCase

from relaygw.core.content import BytesContent
from relaygw.filters.content import SMALL, read_body

HEAD = b"From: a@example.com\r\n\r\n"


class Body:
    def __init__(self) -> None:
        self.size = 0
        self.threads: list[int] = []
        self.ended_in = 0

    def feed(self, data: bytes) -> None:
        self.size += len(data)
        self.threads.append(threading.get_ident())

    def finish(self) -> None:
        self.ended_in = threading.get_ident()


class ReadingTests(TestCase):
    def test_a_small_body_is_read_at_once(self) -> None:
        body = Body()
        assert read_body(BytesContent(HEAD + b"x" * (SMALL - len(HEAD))), body, reactor) is None
        assert (body.size, body.ended_in) == (SMALL - len(HEAD), threading.get_ident())

    @inlineCallbacks
    def test_a_large_body_is_read_and_ended_in_a_thread(self) -> Any:
        """Where it ends in empty lines and half a line end, all of these are hashed only then."""
        body = Body()
        yield read_body(BytesContent(HEAD + b"\n\r" * (SMALL // 2)), body, reactor)
        assert body.size == SMALL
        assert body.ended_in
        assert threading.get_ident() not in {*body.threads, body.ended_in}
