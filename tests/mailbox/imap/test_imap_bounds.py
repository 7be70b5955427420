"""What one command may ask of us, at each limit and one step beyond it; and what costs nothing however large it is."""

import pytest

from relaygw.mailbox.imap.addresses import parse_addresses
from relaygw.mailbox.imap.commands import And, Fetch, HasFlag, Not, Numbered, Or, Search, Store
from relaygw.mailbox.imap.fetch_parser import MAX_FIELDS, MAX_ITEMS
from relaygw.mailbox.imap.flags import MAX_NAMED
from relaygw.mailbox.imap.parser import MAX_IDENTITY, MAX_WORDS, BadCommand, parse_command
from relaygw.mailbox.imap.search import Candidate, compile_search
from relaygw.mailbox.imap.searching import rows_of_a_turn
from relaygw.mailbox.imap.sequence import MAX_RANGES, BadSequence, parse_sequence


def words(word: bytes, number: int, between: bytes = b" ") -> bytes:
    return between.join([word] * number)


@pytest.mark.parametrize(
    ("before", "word", "after", "most"),
    [
        (b"a ID (", b'""', b")", MAX_IDENTITY),
        (b"a ID (", b"NIL", b")", MAX_IDENTITY),
        (b"a ENABLE ", b"X", b"", MAX_WORDS),
        (b"a STATUS x (", b"UNSEEN", b")", MAX_WORDS),
        (b"a STORE 1 FLAGS (", b"\\Seen", b")", MAX_NAMED),
        (b"a STORE 1 FLAGS ", b"x", b"", MAX_NAMED),
        (b"a FETCH 1 (", b"UID", b")", MAX_ITEMS),
        (b"a FETCH 1 (", b"BODY[1]", b")", MAX_ITEMS),
        (b"a FETCH 1 BODY[HEADER.FIELDS (", b"From", b")]", MAX_ITEMS),
        (b"a FETCH 1 (", b"BODY[HEADER.FIELDS (a b c d e f g h i j)]", b")", MAX_FIELDS // 10),
    ],
)
def test_so_many_words_and_not_one_more(before: bytes, word: bytes, after: bytes, most: int) -> None:
    parse_command([before + words(word, most) + after])
    with pytest.raises(BadCommand, match="too many"):
        parse_command([before + words(word, most + 1) + after])


def test_so_many_ranges_and_not_one_more() -> None:
    numbers = [b"%d" % (2 * number) for number in range(1, MAX_RANGES + 2)]
    assert len(parse_sequence(b",".join(numbers[1:])).ranges) == MAX_RANGES
    with pytest.raises(BadSequence, match="too many"):
        parse_sequence(b",".join(numbers))
    assert parse_sequence(words(b"7", MAX_RANGES + 1, b",")).ranges == ((7, 7),)


def test_what_is_named_again_is_answered_once() -> None:
    fetch = parse_command([b"a FETCH 1 (UID FLAGS UID)"]).arguments
    assert isinstance(fetch, Fetch)
    assert len(fetch.items) == 2
    store = parse_command([b"a STORE 1 FLAGS (" + words(b"\\Seen", 100) + b")"]).arguments
    assert isinstance(store, Store)
    assert store.flags == ("\\Seen",)


def test_a_search_makes_no_list_of_the_numbers_it_names() -> None:
    """Of as many messages as there can be, and for each of a thousand keys."""
    search = parse_command([b"a SEARCH" + b" 1:*" * 999]).arguments
    assert isinstance(search, Search)
    exists = 2**32 - 1
    judge = compile_search(search.key, exists, range(1, exists + 1))
    last = Candidate(number=exists, uid=exists, flags=frozenset(), recent=False, size=0, arrived=0)
    assert judge(last, None) is True
    with pytest.raises(BadSequence, match="message number 8 does not exist"):
        compile_search(Numbered(parse_sequence(b"3,8")), 7, range(1, 8))
    assert compile_search(Numbered(parse_sequence(b"*")), 0, [])(last, None) is False


def test_the_more_keys_the_fewer_messages_in_a_turn() -> None:
    seen = HasFlag("\\Seen")
    assert rows_of_a_turn(seen) == 1000
    assert rows_of_a_turn(And((seen,) * 40)) == 500
    assert rows_of_a_turn(And((Not(Or(seen, seen)),) * 500)) == 20
    assert rows_of_a_turn(And((seen,) * 100_000)) == 1


def test_words_and_routes_of_many_pieces() -> None:
    (address,) = parse_addresses(b'"x"y' * 5000 + b"@b.test")
    assert (address.mailbox, address.host, address.route) == (b"xy" * 5000, b"b.test", None)
    (address,) = parse_addresses(b"<" + b"@a.test," * 3 + b"@b.test:c@d.test>")
    assert address.route == b"@a.test,@a.test,@a.test,@b.test"
    assert (address.mailbox, address.host) == (b"c", b"d.test")
