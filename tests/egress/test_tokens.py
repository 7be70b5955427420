"""Access tokens: from a stand-in that answers as Microsoft and Google do, kept, renewed ahead, dropped when refused."""

import base64
import json
import stat
from collections.abc import Awaitable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import attrs
import pytest
import yaml
from clocks import put_back
from cryptography.hazmat.primitives.serialization import Encoding
from egress_support import DictResolver, MemoryReactor, Server, make_opener, make_services, result, run
from ended import all_ended
from results import at_once
from test_assertions import KEY, account, certificate, pem
from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from relaygw.core.mx import Target
from relaygw.core.oauth import Flow, OauthError
from relaygw.core.reply import Reply
from relaygw.core.scram import derive_keys, parse_final, parse_first, server_final, server_first
from relaygw.egress.broken import Broken, Phase
from relaygw.egress.hop import Hop, Login, TlsMode
from relaygw.egress.https import Https, HttpsError
from relaygw.egress.keyring import make_keyring
from relaygw.egress.login import Channel, Keyring, log_in
from relaygw.egress.resting_logins import FIRST, LONGEST, RestingLogins
from relaygw.egress.secrets import Secret, SecretError
from relaygw.egress.tokens import AHEAD, LATEST, LONG_PAUSE, PAUSE, YOUNG, OauthSource, Tokens

LOGINS = yaml.safe_load(
    (Path(__file__).parents[1] / "data" / "oauth" / "login_answers.yaml").read_text(encoding="utf-8")
)


def reply_of(text: str) -> Reply:
    """A reply as a server writes it."""
    code, _, words = text.partition(" ")
    enhanced, _, rest = words.partition(" ")
    return Reply(int(code), enhanced, rest) if enhanced[:2] in ("2.", "4.", "5.") else Reply(int(code), "", words)


def secret(folder: Path, name: str, value: str) -> Secret:
    (folder / name).write_text(value + "\n")
    return Secret("file", str(folder / name))


def source(folder: Path, flow: Flow = Flow.CLIENT_CREDENTIALS, url: str = "https://login.example/token") -> OauthSource:
    return OauthSource(
        flow=flow,
        token_url=url,
        client_id="app",
        client_secret=secret(folder, "secret", "s3cret"),
        refresh_token=secret(folder, "refresh", "1//first") if flow is Flow.REFRESH_TOKEN else None,
        scope="https://outlook.office365.com/.default",
    )


class World:
    """Tokens on a Clock; each request is answered by the next of `answers` (the last repeats)."""

    def __init__(self, state: Path) -> None:
        self.clock, self.state = Clock(), state
        self.forms: list[dict[str, str]] = []
        self.answers: list[Any] = [self.token("t1"), self.token("t2"), self.token("t3")]
        self.spawned: list[Any] = []
        self.restart()

    def restart(self) -> None:
        self.tokens = Tokens(self.clock, str(self.state), self.ask, self.spawn)

    @staticmethod
    def token(access: str, lifetime: int = 3600, **more: str) -> tuple[int, bytes]:
        document = {"token_type": "Bearer", "access_token": access, "expires_in": lifetime} | more
        return 200, json.dumps(document).encode()

    async def ask(self, source: OauthSource, form: dict[str, str]) -> tuple[int, bytes]:
        self.forms.append(form)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Deferred):
            answer = await answer
        if isinstance(answer, Exception):
            raise answer
        status, body = answer
        return status, body

    def spawn(self, name: str, awaitable: Awaitable[Any]) -> None:
        self.spawned.append(Deferred.fromCoroutine(awaitable))  # type: ignore[arg-type]  # it is one

    def get(self, wanted: OauthSource) -> str:
        return at_once(self.tokens.token(wanted))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "state")


def test_a_token_is_used_until_shortly_before_its_end(world: World, tmp_path: Path) -> None:
    wanted = source(tmp_path)
    assert [world.get(wanted), world.get(wanted)] == ["t1", "t1"]
    assert world.forms == [
        {
            "grant_type": "client_credentials",
            "client_id": "app",
            "client_secret": "s3cret",
            "scope": "https://outlook.office365.com/.default",
        }
    ]
    world.answers = [(503, b"")]
    world.clock.advance(3600 - LATEST - 0.001)
    assert world.get(wanted) == "t1"
    world.clock.advance(PAUSE)
    with pytest.raises(OauthError, match="503"):
        world.get(wanted)


def test_it_is_fetched_ahead_beside_the_mail(world: World, tmp_path: Path) -> None:
    wanted = source(tmp_path)
    world.get(wanted)
    world.clock.advance(3600 - AHEAD - 0.001)
    assert world.get(wanted) == "t1"
    assert world.spawned == []
    world.clock.advance(0.001)
    assert world.get(wanted) == "t1"
    assert len(world.spawned) == 1
    assert world.get(wanted) == "t2"


def test_a_token_a_mail_server_refused_is_not_used_again(world: World, tmp_path: Path) -> None:
    wanted = source(tmp_path)
    world.tokens.refused(wanted, world.get(wanted))
    assert world.get(wanted) == "t2"
    world.tokens.refused(wanted, "t1")  # of an attempt that began before
    assert world.get(wanted) == "t2"


def test_logins_at_one_time_share_one_request(world: World, tmp_path: Path) -> None:
    waiting: Deferred[Any] = Deferred()
    world.answers = [waiting]
    found: list[str] = []
    for _ in range(3):
        Deferred.fromCoroutine(world.tokens.token(source(tmp_path))).addCallback(found.append)
    waiting.callback(world.token("t"))
    assert found == ["t"] * 3
    assert len(world.forms) == 1


def test_those_who_wait_learn_of_a_request_that_was_cancelled(world: World, tmp_path: Path) -> None:
    world.answers = [Deferred()]
    first = Deferred.fromCoroutine(world.tokens.token(source(tmp_path)))
    failures: list[Any] = []
    Deferred.fromCoroutine(world.tokens.token(source(tmp_path))).addErrback(failures.append)
    first.addErrback(lambda _: None)
    first.cancel()
    assert failures[0].check(OauthError)


@pytest.mark.parametrize(
    ("answer", "pause"),
    [((503, b""), PAUSE), (HttpsError("refused"), PAUSE), ((401, b'{"error":"invalid_client"}'), LONG_PAUSE)],
)
def test_a_server_that_refuses_is_left_alone_for_a_while(
    world: World, tmp_path: Path, answer: Any, pause: float
) -> None:
    world.answers = [answer]
    for _ in range(2):
        with pytest.raises(OauthError):
            world.get(source(tmp_path))
    assert len(world.forms) == 1
    world.answers = [world.token("t")]
    world.clock.advance(pause)
    assert world.get(source(tmp_path)) == "t"


def test_a_server_that_refused_is_asked_again_when_the_clock_was_put_back(world: World, tmp_path: Path) -> None:
    world.clock.advance(7200)
    world.answers = [HttpsError("no network yet"), world.token("t")]
    with pytest.raises(OauthError):
        world.get(source(tmp_path))
    put_back(world.clock, 3600)
    assert world.get(source(tmp_path)) == "t"


def test_a_replaced_refresh_token_is_kept_for_the_next_time_and_the_next_process(world: World, tmp_path: Path) -> None:
    wanted = source(tmp_path, Flow.REFRESH_TOKEN)
    world.answers = [world.token("t1", 0, refresh_token="1//second"), world.token("t2", 0), world.token("t3", 0)]
    world.get(wanted)
    world.restart()
    world.get(wanted)
    assert [form["refresh_token"] for form in world.forms] == ["1//first", "1//second"]
    [kept] = (tmp_path / "state" / "oauth").iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    secret(tmp_path, "refresh", "1//another")
    world.get(wanted)
    assert world.forms[-1]["refresh_token"] == "1//another"


def test_a_refresh_token_that_cannot_be_kept_is_an_error(world: World, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file in its place")
    world.answers = [world.token("t1", refresh_token="1//second")]
    with pytest.raises(OauthError, match="cannot be kept"):
        world.get(source(tmp_path, Flow.REFRESH_TOKEN))


def test_secrets_come_from_three_places_and_errors_name_only_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAY_SECRET", "one")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "upstream").write_text("two\r\n")
    assert Secret("env", "RELAY_SECRET").read() == "one"
    assert Secret("credential", "upstream").read() == "two"
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    for wrong, words in (
        (Secret("env", "RELAY_NOTHING"), "the variable RELAY_NOTHING is not set"),
        (Secret("credential", "upstream"), "the credential upstream is not set"),
        (Secret("file", str(tmp_path / "none")), "No such file"),
    ):
        with pytest.raises(SecretError, match=words):
            wrong.read()
    with pytest.raises(SecretError, match="no usable secret"):
        Secret("env", "RELAY_SECRET").read(2)


# Logging in with them.


class Script:
    """A mail server's side of AUTH: each line is answered by the next reply, or by what a function makes of it."""

    def __init__(self, *replies: Any) -> None:
        self.replies, self.lines = list(replies), []

    async def ask(self, line: bytes) -> Reply:
        self.lines.append(line)
        reply = self.replies.pop(0)
        return reply(line) if callable(reply) else reply


def try_login(login: Login, script: Script, keyring: Any, *mechanisms: str, binding: bytes | None = None) -> None:
    channel = Channel(host="smtp.example", port=587, binding=binding)
    at_once(log_in(login, mechanisms, script.ask, channel, keyring))


def keyring(world: World) -> Keyring:
    def run(function: Any) -> Any:
        done: Deferred[Any] = Deferred()
        done.callback(function())
        return done

    return Keyring(tokens=world.tokens, run=run, resting=RestingLogins(world.clock))


OK = Reply(235, "2.7.0", "Accepted")
BEARER = b"n,a=me,\1host=smtp.example\1port=587\1auth=Bearer t1\1\1"


@pytest.mark.parametrize(
    ("offered", "line"),
    [
        (("PLAIN", "XOAUTH2"), b"AUTH XOAUTH2 dXNlcj1tZQFhdXRoPUJlYXJlciB0MQEB\r\n"),
        (
            ("XOAUTH2", "OAUTHBEARER"),
            b"AUTH OAUTHBEARER %b\r\n" % base64.b64encode(BEARER),
        ),
    ],
)
def test_a_token_is_shown_in_the_best_way_offered(
    world: World, tmp_path: Path, offered: tuple[str, ...], line: bytes
) -> None:
    script = Script(OK)
    try_login(Login(username="me", oauth=source(tmp_path)), script, keyring(world), *offered)
    assert script.lines == [line]


def test_a_long_token_goes_in_a_line_of_its_own(world: World, tmp_path: Path) -> None:
    world.answers = [world.token("t" * 2000)]
    script = Script(Reply(334, "", ""), OK)
    try_login(Login(username="me", oauth=source(tmp_path)), script, keyring(world), "XOAUTH2")
    assert script.lines[0] == b"AUTH XOAUTH2\r\n"
    assert b"Bearer " + b"t" * 2000 in base64.b64decode(script.lines[1])


@pytest.mark.parametrize(("mechanism", "acknowledged"), [("XOAUTH2", b"\r\n"), ("OAUTHBEARER", b"AQ==\r\n")])
def test_a_refused_token_is_explained_and_replaced(
    world: World, tmp_path: Path, mechanism: str, acknowledged: bytes
) -> None:
    why = base64.b64encode(b'{"status":"401","schemes":"bearer"}').decode()
    script = Script(Reply(334, "", why), Reply(535, "5.7.3", "Authentication unsuccessful t1"))
    login = Login(username="me", oauth=source(tmp_path))
    with pytest.raises(Broken) as caught:
        try_login(login, script, keyring(world), mechanism)
    assert script.lines[1] == acknowledged
    assert caught.value.reply.text == (
        "the server refused our login: 535 5.7.3 Authentication unsuccessful *** (status 401, schemes bearer); "
        "the application needs SMTP.SendAsApp and the mailbox, and SMTP AUTH must be on"
    )
    assert (caught.value.reply.code, caught.value.reply.enhanced) == (454, "4.7.8")
    assert world.get(source(tmp_path)) == "t2"


@pytest.mark.parametrize("case", LOGINS, ids=lambda case: case["name"])
@pytest.mark.parametrize("young", [True, False])
def test_the_answers_of_microsoft_and_google(world: World, tmp_path: Path, case: dict[str, Any], young: bool) -> None:
    wanted = source(tmp_path)
    world.get(wanted)
    world.clock.advance(0 if young else YOUNG + 1)
    replies = [reply_of(text) for text in case["replies"]]
    second = case.get("again", False) and not young
    script = Script(*replies, *([OK] if second else []))
    login = Login(username="me", oauth=wanted)
    if "says" not in case or second:
        try_login(login, script, keyring(world), case["mechanism"])
    else:
        with pytest.raises(Broken) as caught:
            try_login(login, script, keyring(world), case["mechanism"])
        assert all(words in caught.value.reply.text for words in case["says"]), caught.value.reply.text
        assert (caught.value.phase, caught.value.reply.enhanced) == (Phase.AUTH, "4.7.8")
        assert world.get(wanted) == ("t1" if case.get("kept") else "t2")
    if "answered" in case:
        assert script.lines[1] == case["answered"].encode() + b"\r\n"
    if second:
        assert b"Bearer t2" in base64.b64decode(script.lines[-1].split()[2])
    assert script.replies == []


def test_a_second_token_that_is_refused_is_the_last_one_tried(world: World, tmp_path: Path) -> None:
    wanted = source(tmp_path)
    world.get(wanted)
    world.clock.advance(YOUNG + 1)
    no = Reply(535, "5.7.3", "Authentication unsuccessful")
    script = Script(no, no)
    with pytest.raises(Broken):
        try_login(Login(username="me", oauth=wanted), script, keyring(world), "XOAUTH2")
    assert len(script.lines) == len(world.forms) == 2


def test_a_refused_login_rests_longer_each_time_until_it_works(tmp_path: Path) -> None:
    clock, login = Clock(), Login(username="me", password=secret(tmp_path, "password", "p"))
    resting = RestingLogins(clock)
    refusal = Broken(Phase.AUTH, Reply(454, "4.7.8", "the server refused our login: 535 5.7.8 no"))
    length = FIRST
    while length < LONGEST * 2:
        resting.failed(login, "smtp.example", refusal)
        clock.advance(min(length, LONGEST) - 1)
        with pytest.raises(Broken, match=r"535 5\.7\.8 no; it is not tried again for 1 s") as caught:
            resting.check(login, "smtp.example")
        assert caught.value.reply.temporary
        clock.advance(1)
        resting.check(login, "smtp.example")
        length *= 2
    resting.worked(login, "smtp.example")
    resting.failed(login, "smtp.example", refusal)
    clock.advance(FIRST)
    resting.check(login, "smtp.example")
    resting.check(Login(username="another"), "smtp.example")


def test_a_refused_login_rests_no_longer_when_the_clock_was_put_back() -> None:
    clock, login = Clock(), Login(username="me")
    clock.advance(7200)
    resting = RestingLogins(clock)
    resting.failed(login, "smtp.example", Broken(Phase.AUTH, Reply(454, "4.7.8", "the server refused our login")))
    with pytest.raises(Broken):
        resting.check(login, "smtp.example")
    put_back(clock, 3600)
    resting.check(login, "smtp.example")
    clock.advance(3600)
    resting.check(login, "smtp.example")


@pytest.mark.parametrize(
    "failure",
    [
        Broken(Phase.AUTH, Reply(451, "4.4.2", "the connection was lost"), closed=True),
        Broken(Phase.AUTH, Reply(421, "4.7.8", "going down"), remote=True),
        Broken(Phase.AUTH, Reply(451, "4.7.4", "the server offers no login we know")),
        Broken(Phase.HELLO, Reply(451, "4.7.8", "x")),
    ],
)
def test_what_says_nothing_of_the_login_gives_it_no_rest(failure: Broken) -> None:
    resting = RestingLogins(Clock())
    resting.failed(Login(username="me"), "smtp.example", failure)
    resting.check(Login(username="me"), "smtp.example")


def test_while_a_login_rests_nobody_is_connected_to_and_others_go_on(tmp_path: Path) -> None:
    server = Server(("AUTH PLAIN",), auth=[b"535 5.7.8 no\r\n", b"235 2.7.0 ok\r\n"])
    reactor_ = MemoryReactor(lambda address, port: server)
    opener = make_opener(reactor_)
    target = Target(host="smtp.example", address="192.0.2.1")
    password = secret(tmp_path, "password", "p")
    mine = Hop(tls=TlsMode.NONE, login=Login(username="me", password=password, in_clear=True))
    others = Hop(tls=TlsMode.NONE, login=Login(username="you", password=password, in_clear=True))
    for _ in range(2):
        with pytest.raises(Broken, match="535"):
            result(run(reactor_, opener.open(target, mine)))
    assert len(reactor_.connections) == 1
    assert result(run(reactor_, opener.open(target, others))).hop is others
    reactor_.pass_time(FIRST)
    assert result(run(reactor_, opener.open(target, mine))).hop is mine


def test_without_a_token_nothing_is_said(world: World, tmp_path: Path) -> None:
    world.answers = [(400, b'{"error":"invalid_grant","error_description":"Token has been expired or revoked."}')]
    script = Script()
    with pytest.raises(Broken, match=r"invalid_grant: Token has been expired or revoked\.") as caught:
        try_login(Login(username="me", oauth=source(tmp_path)), script, keyring(world), "XOAUTH2")
    assert caught.value.reply.temporary
    assert script.lines == []


class ScramServer:
    """The other side, with the keys of "pencil"; what it got is in `lines`."""

    def __init__(self, honest: bool = True, at_once: bool = False) -> None:
        self.keys = derive_keys("pencil", b"salt", 4096)
        self.honest, self.at_once = honest, at_once
        self.binding = b""

    def replies(self) -> tuple[Any, ...]:
        return self.first, self.final, OK

    def first(self, line: bytes) -> Reply:
        self.client = parse_first(base64.b64decode(line.split(b" ")[2]))
        self.message = server_first(self.keys, self.client.nonce, b"srv")
        return Reply(334, "", base64.b64encode(self.message).decode())

    def final(self, line: bytes) -> Reply:
        final = parse_final(base64.b64decode(line))
        self.binding = final.binding
        signed = b",".join((self.client.bare, self.message, final.signed))
        words = server_final(self.keys, signed) if self.honest else b"v=" + base64.b64encode(b"\0" * 32)
        return Reply(334, "", base64.b64encode(words).decode())


@pytest.mark.parametrize(
    ("offered", "binding", "header"),
    [
        (("PLAIN", "SCRAM-SHA-256"), None, b"n,,"),
        (("PLAIN", "SCRAM-SHA-256"), b"\1" * 32, b"y,,"),
        (("SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"), b"\1" * 32, b"p=tls-exporter,," + b"\1" * 32),
        (("SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"), None, b"n,,"),
    ],
)
def test_scram_shows_no_password_and_binds_the_channel_where_it_can(
    world: World, tmp_path: Path, offered: tuple[str, ...], binding: bytes | None, header: bytes
) -> None:
    server = ScramServer()
    script = Script(*server.replies())
    login = Login(username="me", password=secret(tmp_path, "password", "pencil"))
    try_login(login, script, keyring(world), *offered, binding=binding)
    assert server.binding == header
    assert script.lines[-1] == b"\r\n"
    assert not any(b"pencil" in base64.b64decode(line.split()[-1] + b"==") for line in script.lines[:2])


def test_a_server_that_does_not_know_the_password_is_no_server_of_ours(world: World, tmp_path: Path) -> None:
    login = Login(username="me", password=secret(tmp_path, "password", "pencil"))
    with pytest.raises(Broken, match="does not know the password"):
        try_login(login, Script(*ScramServer(honest=False).replies()), keyring(world), "SCRAM-SHA-256")
    for early in (OK, Reply(334, "", "rubbish")):
        with pytest.raises(Broken):
            try_login(login, Script(early), keyring(world), "SCRAM-SHA-256")


def test_our_certificate_alone(world: World) -> None:
    script = Script(OK)
    try_login(Login(username=""), script, keyring(world), "EXTERNAL", "PLAIN")
    assert script.lines == [b"AUTH EXTERNAL =\r\n"]


def test_mechanisms_can_be_limited(world: World, tmp_path: Path) -> None:
    login = Login(username="me", password=secret(tmp_path, "password", "p"), mechanisms=("LOGIN",))
    script = Script(Reply(334, "", "x"), Reply(334, "", "y"), OK)
    try_login(login, script, keyring(world), "PLAIN", "LOGIN")
    assert script.lines[0] == b"AUTH LOGIN\r\n"
    with pytest.raises(Broken, match="no login we know"):
        try_login(login, Script(), keyring(world), "PLAIN")


# Over HTTP.


class TokenServer(Resource):
    """What both publish of their token endpoints: a form comes in, JSON goes out, refusals are 400 and 401."""

    isLeaf = True

    def __init__(self) -> None:
        Resource.__init__(self)
        self.seen: list[dict[str, str]] = []
        self.hang = False

    def render_POST(self, request: Any) -> Any:
        assert request.getHeader("content-type") == "application/x-www-form-urlencoded"
        form = {name: values[0] for name, values in parse_qs(request.content.read().decode()).items()}
        self.seen.append(form)
        request.setHeader("content-type", "application/json; charset=utf-8")
        if self.hang:
            return NOT_DONE_YET
        if form["grant_type"].endswith(":jwt-bearer"):
            return self.by_assertion(request, form)
        if form.get("client_assertion_type", "").endswith(":jwt-bearer"):
            return World.token("eyJ.application", 3599)[1]
        if form.get("client_secret") != "s3cret":
            request.setResponseCode(401)
            told = {"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret provided."}
            return json.dumps(told).encode()
        if form["grant_type"] == "refresh_token" and form["refresh_token"] != "1//first":
            request.setResponseCode(400)
            told = {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}
            return json.dumps(told).encode()
        return World.token("ya29.ok", 3599)[1]

    def by_assertion(self, request: Any, form: dict[str, str]) -> bytes:
        claims = json.loads(base64.urlsafe_b64decode(form["assertion"].split(".")[1] + "=="))
        if claims["sub"] == "sales@example.com":
            return World.token("ya29.service", 3599)[1]
        request.setResponseCode(401)
        words = "Client is unauthorized to retrieve access tokens using this method."
        return json.dumps({"error": "unauthorized_client", "error_description": words}).encode()

    def render_GET(self, request: Any) -> bytes:
        request.setResponseCode(302)
        request.setHeader("location", "/elsewhere")
        return b"x" * 2000


class OverHttpTests(TestCase):
    def setUp(self) -> None:
        self.addCleanup(all_ended)
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.server = TokenServer()
        port: Any = reactor.listenTCP(0, Site(self.server), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.url = f"http://127.0.0.1:{port.getHost().port}/oauth2/v2.0/token"
        self.tokens = make_keyring(make_services(reactor, DictResolver({}))).tokens

    def get(self, wanted: OauthSource) -> Deferred[str]:
        return Deferred.fromCoroutine(self.tokens.token(wanted))

    @inlineCallbacks
    def test_keys_in_place_of_secrets(self) -> Any:
        key, both = account(), pem(KEY) + certificate().public_bytes(Encoding.PEM).decode()
        common = {"token_url": self.url, "scope": "https://mail.google.com/"}
        service = OauthSource(
            flow=Flow.SERVICE_ACCOUNT, key=secret(self.folder, "key", key), subject="sales@example.com", **common
        )
        assert (yield self.get(service)) == "ya29.service"
        failure = yield self.assertFailure(self.get(attrs.evolve(service, subject="eve@example.com")), OauthError)
        assert "delegate https://mail.google.com/ to the service account" in str(failure)
        program = OauthSource(
            flow=Flow.CLIENT_CREDENTIALS, client_id="app", key=secret(self.folder, "pem", both), **common
        )
        assert (yield self.get(program)) == "eyJ.application"

    @inlineCallbacks
    def test_both_flows(self) -> Any:
        for flow in (Flow.CLIENT_CREDENTIALS, Flow.REFRESH_TOKEN):
            assert (yield self.get(source(self.folder, flow, self.url))) == "ya29.ok"
        assert self.server.seen[0]["scope"] == "https://outlook.office365.com/.default"

    @inlineCallbacks
    def test_refusals_are_told_as_they_were_given(self) -> Any:
        wanted = source(self.folder, Flow.REFRESH_TOKEN, self.url)
        secret(self.folder, "refresh", "1//revoked")
        failure = yield self.assertFailure(self.get(wanted), OauthError)
        assert "the token server refused (invalid_grant: Token has been expired or revoked.); get a" in str(failure)
        wanted = source(self.folder, url=self.url)
        secret(self.folder, "secret", "wr0ng")
        failure = yield self.assertFailure(self.get(wanted), OauthError)
        assert "AADSTS7000215" in str(failure)
        assert "wr0ng" not in str(failure)

    def https(self) -> Https:
        return Https(reactor, DictResolver({}))  # type: ignore[arg-type]  # a resolver by its one method

    @inlineCallbacks
    def test_an_answer_that_does_not_come_is_waited_for_no_longer_than_said(self) -> Any:
        self.server.hang = True
        asking = Deferred.fromCoroutine(self.https().post(self.url, {"a": "b"}, timeout=0.2, limit=10))
        failure = yield self.assertFailure(asking, HttpsError)
        assert str(failure) == "no answer within 0.2 seconds"

    @inlineCallbacks
    def test_redirects_are_not_followed_and_size_is_bounded(self) -> Any:
        page = yield Deferred.fromCoroutine(self.https().get(self.url, timeout=5, limit=2000))
        assert (page.status, len(page.body)) == (302, 2000)
        asking = Deferred.fromCoroutine(self.https().get(self.url, timeout=5, limit=1999))
        failure = yield self.assertFailure(asking, HttpsError)
        assert str(failure) == "the answer is longer than 1999 octets"

    @inlineCallbacks
    def test_a_host_that_is_not_there(self) -> Any:
        asking = Deferred.fromCoroutine(self.https().get("http://nowhere.example/", timeout=5, limit=10))
        failure = yield self.assertFailure(asking, HttpsError)
        assert "has no address" in str(failure)
        assert not failure.untrusted
