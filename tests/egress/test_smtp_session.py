"""From a connection to a session: greeting, EHLO or HELO, STARTTLS policy short of TLS, AUTH; secrets stay secret."""

import base64
from pathlib import Path

import pytest
from clocks import put_back
from egress_support import (
    CLOSE,
    MANNERS,
    SILENCE,
    TARGET,
    MemoryReactor,
    Server,
    make_opener,
    pending,
    result,
    run,
)

from relaygw.egress.broken import Broken, Phase
from relaygw.egress.client import Session
from relaygw.egress.hop import Hop, Login, TlsMode
from relaygw.egress.secrets import Secret

CLEAR = Hop(tls=TlsMode.NONE)
PASSWORD = "pä55 word"
RESPONSE = f"\0me\0{PASSWORD}"


def open_with(*servers: Server | None, hop: Hop = CLEAR, reactor: MemoryReactor | None = None) -> Session:
    """The session that opening against these servers, one per connection, comes to."""
    waiting = list(servers)
    reactor = reactor or MemoryReactor(lambda address, port: waiting.pop(0))
    session = result(run(reactor, make_opener(reactor).open(TARGET, hop)))
    assert isinstance(session, Session)
    return session


def fail_with(*servers: Server | None, hop: Hop = CLEAR) -> Broken:
    with pytest.raises(Broken) as caught:
        open_with(*servers, hop=hop)
    return caught.value


def test_what_the_server_offers_is_known() -> None:
    session = open_with(Server(("size 100", "Pipelining", "AUTH=LOGIN PLAIN")))
    assert session.offered.pipelining
    assert session.offered.size == 100
    assert session.tls is None


@pytest.mark.parametrize(
    ("greeting", "code"), [(b"554 5.3.2 no service\r\n", 554), (b"421 busy\r\n", 421), (b"250 ok\r\n", 250)]
)
def test_a_greeting_that_is_no_welcome(greeting: bytes, code: int) -> None:
    failure = fail_with(Server(greeting=greeting))
    assert (failure.phase, failure.remote, failure.reply.code) == (Phase.GREETING, True, code)


def test_a_refused_connection() -> None:
    failure = fail_with(None)
    assert (failure.phase, failure.reply.enhanced) == (Phase.CONNECT, "4.4.1")
    assert "refused" in str(failure)


@pytest.mark.parametrize(
    "greeting", [b"220 one\r\n250 two\r\n", b"220 one\r\n25", b"220-x\r\n250 y\r\n", b"SSH-2.0-x\r\n"]
)
def test_a_server_that_talks_too_much_or_something_else(greeting: bytes) -> None:
    failure = fail_with(Server(greeting=greeting))
    assert (failure.reply.enhanced, failure.remote) == ("4.5.0", False)


@pytest.mark.parametrize("code", [b"500 5.5.1 what\r\n", b"502 no\r\n", b"550 no\r\n"])
def test_a_server_that_knows_no_ehlo_gets_helo(code: bytes) -> None:
    server = Server(ehlo=code)
    session = open_with(server)
    assert server.commands == ["EHLO relay.example", "HELO relay.example"]
    assert not session.offered.keywords


def test_a_server_that_hangs_up_on_ehlo_gets_helo_on_a_new_connection() -> None:
    first, second = Server(ehlo=CLOSE), Server()
    open_with(first, second)
    assert first.commands == ["EHLO relay.example"]
    assert second.commands == ["HELO relay.example"]


def test_a_server_that_hangs_up_on_helo_too_is_given_up() -> None:
    failure = fail_with(Server(ehlo=CLOSE), Server(helo=CLOSE))
    assert (failure.phase, failure.reply.enhanced) == (Phase.HELLO, "4.4.2")


@pytest.mark.parametrize("reply", [b"451 later\r\n", b"421 4.3.2 closing\r\n" + CLOSE])
def test_a_temporary_answer_to_ehlo_is_no_reason_for_helo(reply: bytes) -> None:
    server = Server(ehlo=reply)
    failure = fail_with(server)
    assert failure.remote
    assert "HELO relay.example" not in server.commands


@pytest.mark.parametrize(("verb", "limit"), [("greeting", MANNERS.greeting_timeout), ("ehlo", MANNERS.hello_timeout)])
def test_a_silent_server_is_given_up_in_time(verb: str, limit: float) -> None:
    reactor = MemoryReactor(lambda address, port: Server(**{verb: SILENCE}))
    opening = run(reactor, make_opener(reactor).open(TARGET, CLEAR))
    reactor.pass_time(limit - 1)
    assert pending(opening)
    reactor.pass_time(1)
    with pytest.raises(Broken, match="silent"):
        result(opening)
    assert reactor.getDelayedCalls() == []


def test_a_clock_put_back_lets_a_server_be_silent_for_no_longer_than_twice() -> None:
    reactor = MemoryReactor(lambda address, port: Server(greeting=SILENCE))
    opening = run(reactor, make_opener(reactor).open(TARGET, CLEAR))
    put_back(reactor, 7200)
    reactor.pass_time(MANNERS.greeting_timeout)
    reactor.pass_time(MANNERS.greeting_timeout)
    with pytest.raises(Broken, match="silent"):
        result(opening)
    assert reactor.getDelayedCalls() == []


def test_a_slow_trickle_does_not_stretch_the_time() -> None:
    reactor = MemoryReactor(lambda address, port: Server(greeting=SILENCE))
    opening = run(reactor, make_opener(reactor).open(TARGET, CLEAR))
    for _ in range(int(MANNERS.greeting_timeout)):
        reactor.wires[0].feed(b"2" if pending(opening) else b"")
        reactor.pass_time(1)
    assert not pending(opening)
    opening.addErrback(lambda failure: failure.trap(Broken))


def test_a_refused_session_is_left_politely() -> None:
    server = Server(greeting=b"554 no service\r\n")
    fail_with(server)
    assert server.commands == ["QUIT"]


# TLS policy, as far as it goes without a handshake.


def test_tls_that_must_be_and_is_not_offered() -> None:
    for mode in (TlsMode.ENCRYPT, TlsMode.VERIFY):
        server = Server()
        failure = fail_with(server, hop=Hop(tls=mode))
        assert failure.reply.enhanced == "4.7.4"
        assert server.commands == ["EHLO relay.example", "QUIT"]


@pytest.mark.parametrize("reply", [b"454 4.7.0 not now\r\n", b"502 5.5.1 no\r\n"])
def test_refused_starttls_goes_on_in_clear_only_where_it_may(reply: bytes) -> None:
    session = open_with(Server(("STARTTLS",), starttls=reply), hop=Hop(tls=TlsMode.MAY))
    assert session.tls is None
    assert fail_with(Server(("STARTTLS",), starttls=reply), hop=Hop(tls=TlsMode.ENCRYPT)).reply.enhanced == "4.7.4"


def test_none_never_asks_for_tls() -> None:
    server = Server(("STARTTLS",))
    open_with(server)
    assert server.commands == ["EHLO relay.example"]


@pytest.mark.parametrize(
    "extra", [b"250 mx.example.org\r\n", b"250-mx.example.org\r\n250 SIZE\r\n", b"2", b"\r\n", b"\x16\x03"]
)
def test_bytes_in_clear_behind_the_answer_to_starttls_end_the_connection(extra: bytes) -> None:
    # They would be taken for answers inside TLS. No second connection in clear either: somebody is at work here.
    reactor_servers = [Server(("STARTTLS",), starttls=b"220 go\r\n" + extra)]
    reactor = MemoryReactor(lambda address, port: reactor_servers.pop(0))
    with pytest.raises(Broken) as caught:
        open_with(hop=Hop(tls=TlsMode.MAY), reactor=reactor)
    assert caught.value.phase is Phase.STARTTLS
    assert reactor.wires[0].aborted
    assert len(reactor.connections) == 1


# AUTH.


def login(tmp_path: Path, password: str = PASSWORD + "\n", *, in_clear: bool = True) -> Hop:
    (tmp_path / "password").write_text(password, encoding="utf-8")
    return Hop(
        tls=TlsMode.NONE,
        login=Login(username="me", password=Secret("file", str(tmp_path / "password")), in_clear=in_clear),
    )


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_plain_in_one_step(tmp_path: Path) -> None:
    server = Server(("AUTH LOGIN PLAIN",), auth=b"235 2.7.0 ok\r\n")
    open_with(server, hop=login(tmp_path))
    assert server.commands[1] == f"AUTH PLAIN {encoded(RESPONSE)}"


def test_plain_in_two_steps_for_servers_that_want_them(tmp_path: Path) -> None:
    words = encoded(RESPONSE)
    server = Server(("AUTH PLAIN",), auth=b"334 \r\n", **{words.lower(): b"235 ok\r\n"})
    open_with(server, hop=login(tmp_path))
    assert server.commands[2] == words


def test_login_step_by_step(tmp_path: Path) -> None:
    steps = {encoded("me").lower(): b"334 UGFzc3dvcmQ6\r\n", encoded(PASSWORD).lower(): b"235 ok\r\n"}
    server = Server(("AUTH=LOGIN",), auth=b"334 VXNlcm5hbWU6\r\n", **steps)
    open_with(server, hop=login(tmp_path))
    assert server.commands[1:] == ["AUTH LOGIN", encoded("me"), encoded(PASSWORD)]


def test_no_password_in_clear_unless_the_route_says_so(tmp_path: Path) -> None:
    server = Server(("AUTH PLAIN",))
    failure = fail_with(server, hop=login(tmp_path, in_clear=False))
    assert failure.reply.enhanced == "4.7.4"
    assert not any(command.startswith("AUTH") for command in server.commands)


@pytest.mark.parametrize(
    "reply",
    [
        b"535 5.7.8 bad credentials\r\n",
        f"535 5.7.8 you said {PASSWORD}\r\n".encode(),
        f"535-you said\r\n535 {encoded(PASSWORD)}\r\n".encode(),
        f"535 {encoded(RESPONSE)}\r\n".encode(),
    ],
)
def test_a_refused_login_is_temporary_and_tells_no_secret(reply: bytes, tmp_path: Path) -> None:
    failure = fail_with(Server(("AUTH PLAIN",), auth=reply), hop=login(tmp_path))
    assert (failure.phase, failure.reply.temporary, failure.reply.enhanced) == (Phase.AUTH, True, "4.7.8")
    assert "535" in str(failure)
    for secret in (PASSWORD, encoded(PASSWORD), encoded(RESPONSE)):
        assert secret not in str(failure)


def test_no_mechanism_in_common(tmp_path: Path) -> None:
    failure = fail_with(Server(("AUTH GSSAPI",)), hop=login(tmp_path))
    assert failure.reply.enhanced == "4.7.4"
    assert "GSSAPI" in str(failure)


@pytest.mark.parametrize("content", ["", "\n", "x" * 5000, "a\0b"])
def test_a_password_file_without_a_usable_password(content: str, tmp_path: Path) -> None:
    failure = fail_with(Server(("AUTH PLAIN",)), hop=login(tmp_path, content))
    assert failure.reply.enhanced == "4.3.5"


def test_a_password_file_that_is_not_there(tmp_path: Path) -> None:
    hop = login(tmp_path)
    (tmp_path / "password").unlink()
    failure = fail_with(Server(("AUTH PLAIN",)), hop=hop)
    assert "No such file" in str(failure)
    assert failure.reply.temporary


def test_neither_login_nor_hop_shows_a_password(tmp_path: Path) -> None:
    assert PASSWORD not in repr(login(tmp_path))
