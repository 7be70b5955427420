"""BDAT in any cut: the content is what the chunks hold, octet for octet; its bounds; and time."""

from hypothesis import given, settings
from hypothesis import strategies as st
from ingress_rig import HELLO, MAIL, RCPT, Client, Rig, in_pieces, reply_codes

from relaygw.config.schema import LimitsConfig
from relaygw.core.events import TaskFailed

BINARY_MAIL = MAIL.replace("\r\n", " BODY=BINARYMIME\r\n")
SOUND = st.lists(st.sampled_from([b"\r\n", b".", b"\r\n.\r\n", b"a", b"\xff", b"QUIT\r\n", b"BDAT 1"]), max_size=20)


def bdat(content: bytes, cuts: list[int], between: bytes = b"") -> bytes:
    """Commands for these octets, cut at these places, the last chunk marked."""
    places = sorted({min(cut, len(content)) for cut in cuts})
    pieces = [content[low:high] for low, high in zip([0, *places], [*places, len(content)], strict=True)]
    commands = [b"BDAT %d\r\n%s%s" % (len(piece), piece, between) for piece in pieces[:-1]]
    return b"".join(commands) + b"BDAT %d LAST\r\n%s" % (len(pieces[-1]), pieces[-1])


def begun(mail: str = MAIL, **options: object) -> tuple[Rig, Client]:
    rig = Rig(**options)  # type: ignore[arg-type]  # the rig's own options
    client = rig.connect()
    assert client.codes(HELLO + mail + RCPT) == [250, 250, 250]
    return rig, client


def own(rig: Rig) -> bytes:
    """The newest message without our Received."""
    return rig.stored()[-1].split(b"+0000\r\n", 1)[1]


@given(SOUND.map(b"".join), st.lists(st.integers(0, 60), max_size=6), st.integers(1, 30), st.booleans())
@settings(max_examples=150, deadline=None)
def test_any_cut_of_sound_content(content: bytes, cuts: list[int], size: int, noop: bool) -> None:
    rig, client = begun()
    client.wire.clear()
    for piece in in_pieces(bdat(content, cuts, b"NOOP\r\n" if noop else b"") + b"NOOP\r\n", lambda: size):
        client.feed(piece)
    codes = reply_codes(client.heard())
    assert set(codes) == {250}
    assert len(codes) == 2 + len({min(cut, len(content)) for cut in cuts}) * (1 + noop)
    assert own(rig) == content
    assert not rig.said(TaskFailed)


@given(st.binary(max_size=80), st.lists(st.integers(0, 80), max_size=5), st.integers(1, 30))
@settings(max_examples=150, deadline=None)
def test_any_octets_are_content_only_where_binary_was_agreed_on(body: bytes, cuts: list[int], size: int) -> None:
    for mail, allowed in ((BINARY_MAIL, True), (MAIL, False)):
        rig, client = begun(mail)
        client.wire.clear()
        content = b"A: b\r\n\r\n" + body
        for piece in in_pieces(bdat(content, cuts), lambda: size):
            client.feed(piece)
        pairs = content.count(b"\r\n")
        sound = content.count(b"\r") == pairs == content.count(b"\n") and b"\0" not in content
        if allowed or sound:
            assert own(rig) == content
        else:
            assert rig.stored() == []
        assert client.codes("NOOP\r\n") == [250]


def test_a_message_of_the_greatest_size_and_one_octet_more() -> None:
    limits = LimitsConfig(message_size=1000)
    for size, code, stored in ((1000, 250, 1), (1001, 552, 0)):
        content = b"\r\n" + b"x" * (size - 2)
        rig, client = begun(limits=limits)
        assert client.codes(bdat(content, [600]))[-1] == code
        assert len(rig.stored()) == stored


def test_an_endless_chunk_takes_no_memory() -> None:
    _, client = begun(limits=LimitsConfig(message_size=100_000))
    reception_size = 0
    client.feed(b"BDAT 99999999999999999999 LAST\r\n")
    for _ in range(100):
        client.feed(b"x" * 65_536)
        assert client.protocol._lines.left == 0
        mailing = client.protocol.conversation._mailing
        reception_size = max(reception_size, mailing.reception.sink._buffer.getbuffer().nbytes)
    assert reception_size <= 131_072
    assert mailing.reception.sink._buffer.getbuffer().nbytes == 0
    assert client.open


def test_a_chunk_that_does_not_come_is_not_waited_for_longer_than_data() -> None:
    limits = LimitsConfig(data_timeout=60.0, command_timeout=300.0)
    for silence, open_ in ((59, True), (61, False)):
        rig, client = begun(limits=limits)
        client.feed(b"BDAT 10 LAST\r\n123")
        rig.clock.advance(silence)
        assert client.open is open_
        assert rig.stored() == []


def test_a_client_that_leaves_within_chunks_leaves_nothing() -> None:
    rig, client = begun()
    client.feed(b"BDAT 3\r\na\r\nBDAT 10 LAST\r\n123")
    client.wire.loseConnection()
    assert rig.stored() == []
    assert not rig.said(TaskFailed)


def test_a_spool_that_fails_is_temporary() -> None:
    rig, client = begun()
    rig.spool.broken = "no space left"
    assert client.codes(b"BDAT 2\r\n\r\nBDAT 0 LAST\r\n") == [451, 503]
    rig.spool.broken = ""
    assert client.codes(MAIL + RCPT + "BDAT 2\r\n\r\n") == [250, 250, 250]
    rig.spool.broken = "no space left"
    assert client.codes(b"BDAT 0 LAST\r\nNOOP\r\n") == [451, 250]
