"""Of what a next hop says so much is kept and no more: every record, journal line and report of a recipient has it."""

import pytest

from relaygw.core.address import Address
from relaygw.core.outcome import MAX_WORDS, from_reply
from relaygw.core.reply import Reply


@pytest.mark.parametrize("length", [MAX_WORDS - 1, MAX_WORDS, MAX_WORDS + 1, 8 * MAX_WORDS])
def test_so_many_characters_are_kept(length: int) -> None:
    text = "no\n" + "x" * (length - 3)
    outcome = from_reply(Address("a", "b.test"), Reply(550, "5.1.1", text), host="mx.test", address="192.0.2.1")
    assert outcome.reply == Reply(550, "5.1.1", text[:MAX_WORDS])
