"""The name server that knows no names answers at once, whatever it is asked, and outlives nonsense."""

import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from relaygw.config.schema import DnsConfig
from relaygw.core.question import AnswerStatus, Question
from relaygw.dns import make_resolver
from relaygw.testing.no_names import no_names


class NoNamesTests(TestCase):
    timeout = 300

    def test_every_name_is_not_there(self) -> Any:
        host, _, port = no_names().rpartition(":")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for nonsense in (b"", b"x", b"\xff" * 600):
                stranger.sendto(nonsense, (host, int(port)))

        async def ask() -> None:
            resolver = make_resolver(DnsConfig(nameservers=(no_names(),), timeout=5.0), reactor)
            for kind in ("A", "AAAA", "MX", "TXT", "PTR", "TLSA"):
                answer = await resolver.ask(Question("client.example", kind))
                assert (answer.status, answer.records, answer.reason) == (AnswerStatus.NO_NAME, (), "")

        return Deferred.fromCoroutine(ask())

    def test_there_is_one_for_all(self) -> None:
        assert no_names() == no_names()
