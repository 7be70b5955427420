"""The resolver reads a real name server (NSD) as it reads our own zone files."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from relaygw.config.schema import DnsConfig
from relaygw.core.question import AnswerStatus, Question
from relaygw.dns import make_resolver
from relaygw.testing.name_servers import serve
from relaygw.testing.resolver import ZONE, check_resolver

pytestmark = pytest.mark.interop


@pytest.fixture
def server(tmp_path: Path, peer: Callable[[str], str]) -> Iterator[str]:
    """The address of an NSD that serves ZONE."""
    with serve(tmp_path, peer("nsd"), {"zone.test": ZONE}) as address:
        yield address


class NsdTests(TestCase):
    timeout = 300
    server: str

    @pytest.fixture(autouse=True)
    def _serve(self, server: str) -> None:
        self.server = server

    def test_it_passes_the_suite_for_resolvers(self) -> Any:
        resolver = make_resolver(DnsConfig(nameservers=(self.server,)), reactor)
        return Deferred.fromCoroutine(check_resolver(resolver))

    def test_a_zone_it_does_not_serve_is_a_failure(self) -> Any:
        async def ask() -> None:
            resolver = make_resolver(DnsConfig(nameservers=(self.server,)), reactor)
            answer = await resolver.ask(Question("elsewhere.test", "A"))
            assert answer.status is AnswerStatus.FAILED
            assert "REFUSED" in answer.reason

        return Deferred.fromCoroutine(ask())
