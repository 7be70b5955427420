"""The golden cases of TLS: every set-up of the table, from the DNS to the verdict, in memory with real handshakes."""

from pathlib import Path

import attrs
import pytest
from egress_support import result, run
from tls_set_ups import ROOT, Place, SetUp, attempt, load, wanted, zones
from tls_wire import TlsReactor, TlsServer
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from relaygw.core.question import Answer, AnswerStatus, Question
from relaygw.dns import FixedResolver
from relaygw.interfaces import IResolver

SET_UPS = load()
PORT = 25


@implementer(IResolver)
class Validating:
    """What a resolver that validates says of the zones: signed, unsigned, or not to be believed."""

    def __init__(self, place: Place) -> None:
        self._names = FixedResolver.from_zone("\n".join(zones([place]).values()))
        self._place = place

    def ask(self, question: Question) -> Deferred[Answer]:
        answer = self._names.answer(question)
        forged = question.type == "TLSA" and self._place.set_up.tlsa_fault
        if f".{question.name}".endswith(".bogus.test") or forged:
            return succeed(Answer(status=AnswerStatus.FAILED, reason="SERVFAIL"))
        return succeed(attrs.evolve(answer, authentic=question.name.endswith(".signed.test")))


@pytest.mark.parametrize("set_up", SET_UPS, ids=lambda set_up: set_up.name)
def test_each_set_up_comes_to_its_verdict(set_up: SetUp, tmp_path: Path) -> None:
    place = Place.make(set_up, PORT)

    def server(address: str, port: int) -> TlsServer:
        assert (address, port) == (set_up.address, PORT)
        return place.server()

    authorities, _ = ROOT.write(tmp_path, "root")
    reactor = TlsReactor(server)  # type: ignore[arg-type]  # a TlsServer does what a Server does
    found = result(run(reactor, attempt(place, reactor, Validating(place), tmp_path, authorities)))
    assert found == wanted(set_up), found.said
