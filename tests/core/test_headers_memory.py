"""A field in as many lines as a header section can hold is found without remembering a way back for each of them."""

import tracemalloc

import pytest

from relaygw.core.content import MAX_HEADER
from relaygw.core.headers import first, values


@pytest.mark.parametrize("fold", [b"\r\n ", b"\n\t", b"\r\n x"])
def test_folds_without_end(fold: bytes) -> None:
    head = b"X: y\r\nSubject :" + fold * (MAX_HEADER // len(fold)) + b"\r\nSubject: z\r\n"
    tracemalloc.start()
    try:
        found = values(head, b"subject")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found) == 2
    assert found[1] == b"z"
    assert first(head, b"x") == b"y"
    assert peak < 8 * len(head)
