"""Bare LF where a listener takes it: what becomes of each octet, where data ends, and that cuts change nothing."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaygw.ingress.decoding import Decoder
from relaygw.ingress.framing import Fault
from relaygw.ingress.repairing import LenientLines, Normalizer, Repairer, make_decoder, make_lines


def run(decoder: Decoder, pieces: list[bytes]) -> tuple[bytes, bytes | None]:
    """The content, and what follows its end."""
    content = b""
    for place, piece in enumerate(pieces):
        found = decoder.feed(piece)
        content += found.content
        if found.rest is not None:
            return content, found.rest + b"".join(pieces[place + 1 :])
    return content, None


@pytest.mark.parametrize(
    ("sent", "content"),
    [
        (b"a\nb\r\n.\r\n", b"a\r\nb\r\n"),
        (b"\n.\n\r\n.\r\n", b"\r\n\r\n\r\n"),
        (b"a\n.\r\nb\r\n.\r\n", b"a\r\n\r\nb\r\n"),
        (b"a\r\n.\nMAIL FROM:<x@y>\r\n.\r\n", b"a\r\n\r\nMAIL FROM:<x@y>\r\n"),
        (b"a\n..b\r\n..c\n.d\r\n.\r\n", b"a\r\n.b\r\n.c\r\nd\r\n"),
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\r\n"),
    ],
)
def test_normalize_ends_data_at_crlf_dot_crlf_alone(sent: bytes, content: bytes) -> None:
    decoder = Normalizer()
    assert run(decoder, [sent + b"RSET"]) == (content, b"RSET")
    assert not decoder.bare
    one_by_one = Normalizer()
    assert run(one_by_one, [sent[n : n + 1] for n in range(len(sent))]) == (content, b"")
    assert one_by_one.repaired == decoder.repaired == (b"\n" in sent.replace(b"\r\n", b""))


@pytest.mark.parametrize(
    ("sent", "content"),
    [
        (b"a\nb\n.\n", b"a\r\nb\r\n"),
        (b"a\r\n.\n", b"a\r\n"),
        (b"a\n.\r\n", b"a\r\n"),
        (b"..a\n...\n.\n", b".a\r\n..\r\n"),
        (b".\n", b""),
        (b".\r\n", b""),
    ],
)
def test_repair_ends_data_at_any_line_that_is_a_dot(sent: bytes, content: bytes) -> None:
    assert run(Repairer(), [sent + b"QUIT\n"]) == (content, b"QUIT\n")
    assert run(Repairer(), [sent[n : n + 1] for n in range(len(sent))]) == (content, b"")


@pytest.mark.parametrize("kind", [Normalizer, Repairer])
@pytest.mark.parametrize("sent", [b"a\rb\r\n.\r\n", b"a\r\r\n\r\n.\r\n", b"\ra\r\n.\r\n"])
def test_a_bare_cr_is_seen_by_both(kind: type[Normalizer], sent: bytes) -> None:
    for pieces in ([sent], [sent[n : n + 1] for n in range(len(sent))]):
        decoder = kind()
        assert run(decoder, pieces)[1] == b""
        assert decoder.bare


HOSTILE = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"a", b"\0", b".\r\n", b"\n.\n"]), max_size=30)


def reference(sent: bytes, *, repair: bool) -> tuple[bytes, bytes | None]:
    """The same in the plainest way: find the end, then change lines."""
    whole = b"\r\n" + sent
    end = re.search(rb"\n\.\r?\n", whole) if repair else re.search(rb"\r\n\.\r\n", whole)
    if end is None:
        return b"", None
    body = whole[: end.start() + (1 if repair else 2)]
    lines = re.sub(rb"(?<!\r)\n", b"\r\n", body)
    return re.sub(rb"\r\n\.", b"\r\n", lines)[2:], whole[end.end() :]


@given(HOSTILE, st.data())
def test_it_is_the_reference_however_it_is_cut(parts: list[bytes], data: st.DataObject) -> None:
    sent = b"".join(parts) + b"\r\n.\r\nNOOP\r\n"
    for kind, repair in ((Normalizer, False), (Repairer, True)):
        cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=6)))
        pieces = [sent[a:b] for a, b in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
        decoder = kind()
        content, rest = run(decoder, pieces)
        assert (content, rest) == reference(sent, repair=repair)
        assert b"\n" not in content.replace(b"\r\n", b"")
        assert decoder.bare == (b"\r" in content.replace(b"\r\n", b""))


@given(HOSTILE, st.lists(st.integers(0, 60), max_size=5))
def test_lenient_lines_depend_on_the_bytes_alone(parts: list[bytes], cuts: list[int]) -> None:
    sent = b"".join(parts) + b"\r\n"

    def read(pieces: list[bytes]) -> list[bytes | Fault]:
        lines, found = LenientLines(), []
        for piece in pieces:
            lines.receive(piece)
            while (line := lines.next(20)) is not None:
                found.append(line)
        return found

    places = sorted(min(cut, len(sent)) for cut in cuts)
    whole = read([sent])
    assert read([sent[a:b] for a, b in zip([0, *places], [*places, len(sent)], strict=True)]) == whole
    assert read([sent[n : n + 1] for n in range(len(sent))]) == whole
    assert all(isinstance(line, Fault) or (b"\n" not in line and b"\r" not in line) for line in whole)


def test_a_lenient_line_has_its_limit_too() -> None:
    lines = LenientLines()
    lines.receive(b"x" * 19 + b"\n" + b"x" * 20 + b"\nNOOP\n")
    assert [lines.next(20), lines.next(20), lines.next(20)] == [b"x" * 19, Fault.LONG, b"NOOP"]


def test_the_words_of_the_configuration_lead_here() -> None:
    assert [type(make_decoder(word)) for word in ("reject", "normalize", "repair")] == [Decoder, Normalizer, Repairer]
    assert [isinstance(make_lines(word), LenientLines) for word in ("reject", "normalize", "repair")] == [
        False, True, True,
    ]  # fmt: skip
