"""What a search sees of a body is the same whether it is read whole or in slices, in every charset."""

import pytest

from relaygw.core.content import BytesContent
from relaygw.mailbox.imap.search_text import MAX_SEARCHED, SLICE, SearchedMessage

TEXT = "Stra\u00dfe \u00dcber \u039f\u03b4\u03bf\u03c3 "


def body(octets: bytes, charset: str) -> str:
    head = f"Content-Type: text/plain; charset={charset}\r\n\r\n".encode()
    return SearchedMessage(BytesContent(head + octets)).body()


@pytest.mark.parametrize("charset", ["utf-8", "utf-7", "utf-16", "utf-16be", "utf-32", "gb18030", "iso-2022-jp-2"])
@pytest.mark.parametrize("shift", range(4))
def test_a_character_may_lie_across_the_border_of_slices(charset: str, shift: int) -> None:
    text = "x" * shift + TEXT * (SLICE // len(TEXT))
    codec = "utf-8" if charset == "utf-7" else charset  # no charset for us: it is taken for UTF-8
    octets = text.encode("iso2022_jp_2" if charset == "iso-2022-jp-2" else codec, "replace")
    assert body(octets, charset) == octets.decode(codec.replace("iso-2022-jp-2", "iso2022_jp_2")).casefold()


@pytest.mark.parametrize("charset", ["utf-8", "utf-16", "us-ascii", "euc-kr", "hz", "made-up"])
def test_octets_that_are_no_text_are_no_error(charset: str) -> None:
    assert body(b"\xff\x80\x1b$~{" * 100_000 + b"\xe2\x82", charset)


def test_so_many_octets_are_looked_at_and_no_more() -> None:
    assert body(b"x" * (MAX_SEARCHED - 1) + b"Y", "utf-8").endswith("xy")
    assert body(b"x" * MAX_SEARCHED + b"Y", "utf-8").endswith("xx")
