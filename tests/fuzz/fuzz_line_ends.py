"""However data is cut, the lenient decoders find the same end and the same content, which holds CRLF only."""

from relaygw.ingress.decoding import Decoder
from relaygw.ingress.framing import Fault
from relaygw.ingress.repairing import make_decoder, make_lines

SEEDS = (
    b"\x03a\nb\r\n.\r\nrest",
    b"\x01..x\n.\n\r\n.\r\n",
    b"\x02\r\n.\r\n",
    b"\x05a\rb\n.\r\n\r.\n\r\n.\r\n",
)


def read(decoder: Decoder, data: bytes, size: int) -> tuple[bytes, bytes | None, bool, bool]:
    content = b""
    for at in range(0, len(data), size):
        piece = decoder.feed(data[at : at + size])
        content += piece.content
        assert len(decoder._held) <= 5
        if piece.rest is not None:
            return content, piece.rest + data[at + size :], decoder.bare, decoder.nul
    return content, None, decoder.bare, decoder.nul


def lines(kind: str, data: bytes, size: int) -> list[bytes | Fault]:
    reader, found = make_lines(kind), []
    for at in range(0, len(data), size):
        reader.receive(data[at : at + size])
        while (line := reader.next(64)) is not None:
            found.append(line)
    return found


def one_input(data: bytes) -> None:
    size, data = (data[0] % 16 + 1, data[1:]) if data else (1, b"")
    for kind in ("reject", "normalize", "repair"):
        whole = read(make_decoder(kind), data, len(data) or 1)
        cut = read(make_decoder(kind), data, size)
        assert cut[:2] == whole[:2] or whole[1] is None
        if whole[1] is not None:
            assert cut == whole
            if kind != "reject":
                assert b"\n" not in whole[0].replace(b"\r\n", b"")
                assert whole[2] == (b"\r" in whole[0].replace(b"\r\n", b""))
        assert lines(kind, data, size) == lines(kind, data, len(data) or 1)
