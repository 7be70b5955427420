"""Looking for a field's values finds what reading all fields finds, whatever the header section holds."""

from hypothesis import example, given
from hypothesis import strategies as st

from relaygw.core.headers import fields, values

PIECES = st.sampled_from(
    [
        b"From",
        b"from",
        b"FROM ",
        b"From\t",
        b"X-From",
        b"From.",
        b":",
        b" ",
        b"\t",
        b"\r\n",
        b"\n",
        b"\r",
        b"a",
        b"\xff",
        b"\0",
    ]
)
HEADS = st.lists(PIECES, max_size=30).map(b"".join)


@given(HEADS | st.binary(max_size=60), st.sampled_from([b"from", b"From", b"x-from", b"from."]))
@example(b"From: a\r\n b\r\nFrom :c", b"from")
@example(b" From: a\r\n", b"from")
@example(b"\nFrom: a", b"from")
@example(b"From:\r\n \r\nTo: b\r\n", b"from")
def test_the_values_are_those_of_the_fields_of_the_name(head: bytes, name: bytes) -> None:
    assert values(head, name) == [field.value for field in fields(head) if field.name.lower() == name.lower()]
