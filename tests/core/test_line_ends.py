"""A line end is bare exactly where a CR or LF is left when all CRLF are taken away."""

from hypothesis import given
from hypothesis import strategies as st

from relaygw.core.line_ends import has_bare

PIECES = st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b"x", b"."]), max_size=12).map(b"".join)


@given(PIECES | st.binary(max_size=40))
def test_what_is_left_without_pairs_is_bare(data: bytes) -> None:
    rest = data.replace(b"\r\n", b" ")
    assert has_bare(data) is (b"\r" in rest or b"\n" in rest)
