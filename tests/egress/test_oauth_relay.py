"""A route with tokens, from its parameters to the mail delivered, against a token server over HTTPS and a mail server
under STARTTLS that say what Microsoft's and Google's do. Whatever goes wrong with the login, the mail waits."""

import base64
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import parse_qs

import attrs
from egress_support import DictResolver, Server, make_attempt, make_record, make_services
from ended import all_ended
from test_smtp_client_tls import Certified, Peer, make_certificate
from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.protocol import Factory
from twisted.internet.ssl import DefaultOpenSSLContextFactory
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import Site

from relaygw.core.outcome import Outcome, Status
from relaygw.core.record import Route
from relaygw.core.trouble import Trouble, trouble_of
from relaygw.egress.smarthost import SmarthostTransport

TENANT = "/contoso/oauth2/v2.0/token"
BAD = (
    401,
    {"error": "invalid_client", "error_description": "AADSTS7000222: The provided client secret keys are expired."},
)
BUSY = (503, {"error": "temporarily_unavailable", "error_description": "AADSTS90033: A transient error has occurred."})


class Tokens(Resource):
    """`answers` are given in turn, where there are any; else fresh tokens, t1, t2 …"""

    isLeaf = True

    def __init__(self) -> None:
        Resource.__init__(self)
        self.forms: list[dict[str, str]] = []
        self.answers: list[tuple[int, dict[str, str]]] = []

    def render_POST(self, request: Any) -> bytes:
        assert request.path == TENANT.encode()
        self.forms.append({name: each[0] for name, each in parse_qs(request.content.read().decode()).items()})
        request.setHeader("content-type", "application/json")
        token = {"token_type": "Bearer", "expires_in": 3599, "access_token": f"t{len(self.forms)}"}
        status, document = self.answers.pop(0) if self.answers else (200, token)
        request.setResponseCode(status)
        return json.dumps(document).encode()


class Watched(Peer):
    """Tells when it is over."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.over: Deferred[None] = Deferred()

    def connectionLost(self, reason: Any = None) -> None:
        self.over.callback(None)


class OauthRelayTests(TestCase):
    def setUp(self) -> None:
        self.addCleanup(all_ended)
        keeper = TemporaryDirectory()
        self.addCleanup(keeper.cleanup)
        self.folder = Path(keeper.name)
        make_certificate(self.folder)
        (self.folder / "secret").write_text("s3cret\n")
        self.tokens, self.inside = Tokens(), Server(("PIPELINING", "AUTH XOAUTH2"), auth=b"235 2.7.0 Accepted\r\n")
        self.peers: list[Watched] = []
        files = str(self.folder / "key.pem"), str(self.folder / "certificate.pem")
        token_port: Any = reactor.listenSSL(0, Site(self.tokens), DefaultOpenSSLContextFactory(*files))
        factory = Factory()
        factory.buildProtocol = self.build  # type: ignore[method-assign,assignment]  # the shortest of factories
        mail_port: Any = reactor.listenTCP(0, factory, interface="127.0.0.1")
        for port in (token_port, mail_port):
            self.addCleanup(port.stopListening)
        services = attrs.evolve(make_services(reactor, DictResolver({})), state=str(self.folder / "state"))
        self.transport = SmarthostTransport({}, services)
        self.addCleanup(lambda: Deferred.fromCoroutine(self.stop()))
        authorities = str(self.folder / "certificate.pem")
        oauth = {
            "flow": "client_credentials",
            "token_url": f"https://127.0.0.1:{token_port.getHost().port}{TENANT}",
            "client_id": "app",
            "client_secret_file": str(self.folder / "secret"),
            "scope": "https://outlook.office365.com/.default",
            "ca_file": authorities,
        }
        parameters = {
            "host": "127.0.0.1",
            "port": mail_port.getHost().port,
            "username": "relay@contoso.com",
            "oauth": tuple(sorted(oauth.items())),
            "ca_file": authorities,
        }
        self.route = Route(transport="smarthost", parameters=tuple(sorted(parameters.items())))

    def build(self, address: object) -> Watched:
        outside = Server(("STARTTLS",), starttls=b"220 2.0.0 go\r\n")
        self.peers.append(Watched(outside, self.inside, Certified(self.folder), False, b""))
        return self.peers[-1]

    async def stop(self) -> None:
        await self.transport.stop()
        for peer in self.peers:
            await peer.over

    @inlineCallbacks
    def deliver(self) -> Any:
        [outcome] = yield Deferred.fromCoroutine(self.transport.deliver(make_attempt(make_record(), self.route)))
        found: Outcome = outcome
        return found

    def shown(self) -> list[str]:
        """The tokens that were shown."""
        lines = [line.split()[2] for line in self.inside.commands if line.startswith("AUTH")]
        return [base64.b64decode(line).decode().split("Bearer ")[1].strip("\1") for line in lines]

    def waits(self, outcome: Outcome, words: str) -> None:
        assert (outcome.status, outcome.reply.enhanced) == (Status.DEFERRED, "4.7.8")
        assert trouble_of(outcome) is Trouble.LOGIN
        assert words in outcome.reply.text
        assert "s3cret" not in outcome.reply.text

    @inlineCallbacks
    def test_mail_is_delivered_with_a_token(self) -> Any:
        outcome = yield self.deliver()
        assert outcome.status is Status.DELIVERED
        assert self.tokens.forms == [
            {
                "grant_type": "client_credentials",
                "client_id": "app",
                "client_secret": "s3cret",
                "scope": "https://outlook.office365.com/.default",
            }
        ]
        [line] = [line for line in self.inside.commands if line.startswith("AUTH")]
        assert base64.b64decode(line.split()[2]) == b"user=relay@contoso.com\1auth=Bearer t1\1\1"

    @inlineCallbacks
    def test_a_token_server_that_refuses_lets_it_wait(self) -> Any:
        self.tokens.answers = [BAD]
        yield self.waits_twice("client_secret has expired: make a new one")

    @inlineCallbacks
    def test_a_token_server_that_is_busy_lets_it_wait(self) -> Any:
        self.tokens.answers = [BUSY]
        yield self.waits_twice("AADSTS90033")

    @inlineCallbacks
    def waits_twice(self, words: str) -> Any:
        """The second time neither server is asked again, and nobody is connected to."""
        for expected in (words, "it is not tried again for"):
            outcome = yield self.deliver()
            self.waits(outcome, expected)
        assert (len(self.tokens.forms), len(self.peers), self.inside.messages) == (1, 1, [])

    @inlineCallbacks
    def test_a_mail_server_that_refuses_the_token_lets_it_wait(self) -> Any:
        self.inside.answers["auth"] = [b"535 5.7.3 Authentication unsuccessful [AM0PR01CA0001]\r\n"]
        outcome = yield self.deliver()
        self.waits(outcome, "535 5.7.3 Authentication unsuccessful")
        assert "SMTP.SendAsApp" in outcome.reply.text
        assert self.shown() == ["t1"]

    @inlineCallbacks
    def test_a_mail_server_that_wants_a_login_after_the_login_lets_it_wait(self) -> Any:
        self.inside.answers["mail"] = [b"530 5.7.57 Client not authenticated to send mail\r\n"]
        self.inside.answers["rcpt"] = self.inside.answers["data"] = [b"503 5.5.1 no\r\n"]
        outcome = yield self.deliver()
        assert (outcome.status, outcome.reply.enhanced) == (Status.DEFERRED, "5.7.57")
