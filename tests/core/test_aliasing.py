"""Aliases and virtual domains: what an address leads to, in which order, and that circles and crowds are bounded."""

import contextlib
from typing import Any

import attrs
import pytest
from effort import costs_less_than
from hypothesis import given
from hypothesis import strategies as st

from relaygw.core.address import Address, parse_address
from relaygw.core.alias_targets import TargetError, key_of, parse_target, split_targets
from relaygw.core.aliasing import BROKEN, CIRCLE, MISS, TOO_MANY, UNKNOWN, Expansion, Hit, Lookup, Rules, expand
from relaygw.core.table_files import read_aliases, read_list, read_pairs

RULES = Rules(local=("here.test", "also.test"), virtual=("virtual.test",), relay=("relayed.test",), depth=5, most=20)
PEOPLE = frozenset({"alice", "bob", "root"})


def expanded(address: str, table: dict[str, Any], rules: Rules = RULES) -> Expansion:
    """With the mailboxes of PEOPLE in every local domain."""
    inquiry = expand(parse_address(address), rules)
    answer: Any = None
    try:
        while True:
            question = inquiry.send(answer)
            if isinstance(question, Lookup):
                values = table.get(question.key, ())
                answer = Hit("t", (values,) if isinstance(values, str) else tuple(values)) if values else MISS
            else:
                found = question.address
                answer = found.domain in rules.local and found.local.partition("+")[0].lower() in PEOPLE
    except StopIteration as stop:
        result: Expansion = stop.value
        return result


def ends(address: str, table: dict[str, Any]) -> list[str]:
    found = expanded(address, table)
    assert found.reply is None, found.reason
    return [str(final.address) for final in found.finals]


TABLE: dict[str, Any] = {
    "info": ["alice", "carol@far.test"],
    "info@also.test": "bob",
    "sales@virtual.test": ["info@here.test", "bob@here.test", "alice@here.test"],
    "@virtual.test": "bob@here.test",
    "@old.test": "@here.test",
    "@here.test": "root",
    "alice": ["alice", "copy@far.test"],
    "gone": "/dev/null",
    "half": ["nobody@also.test", "alice@also.test"],
    "lost": "nobody@also.test",
    "raw": "\\info",
    "boss@relayed.test": "alice@also.test",
    "@relayed.test": "catch@far.test",
}


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("info@here.test", ["alice@here.test", "copy@far.test", "carol@far.test"]),
        ("INFO@here.test", ["alice@here.test", "copy@far.test", "carol@far.test"]),
        ("info+tag@also.test", ["bob@also.test"]),
        ("sales@virtual.test", ["alice@here.test", "copy@far.test", "carol@far.test", "bob@here.test"]),
        ("anyone@virtual.test", ["bob@here.test"]),
        ("nobody@here.test", ["root@here.test"]),
        ("bob@here.test", ["bob@here.test"]),
        ("bob+list@here.test", ["bob+list@here.test"]),
        ("alice+x@here.test", ["alice+x@here.test", "copy@far.test"]),
        ("gone@also.test", []),
        ("half@also.test", ["nobody@also.test", "alice@also.test", "copy@far.test"]),
        ("boss@relayed.test", ["alice@also.test", "copy@far.test"]),
        ("other@relayed.test", ["catch@far.test"]),
        ("x@unknown.test", ["x@unknown.test"]),
    ],
)
def test_where_mail_goes(address: str, expected: list[str]) -> None:
    assert ends(address, TABLE) == expected


def test_a_domain_for_a_domain_keeps_the_local_part_and_its_tag() -> None:
    rules = attrs.evolve(RULES, virtual=("old.test",))
    found = expanded("Bob+x@old.test", TABLE, rules)
    assert [str(final.address) for final in found.finals] == ["Bob+x@here.test"]
    assert [(step.key, step.targets) for step in found.steps] == [("@old.test", ("@here.test",))]


def test_what_is_no_alias_is_plain() -> None:
    found = expanded("bob@also.test", TABLE)
    assert found.plain
    assert found.addresses == (Address("bob", "also.test"),)


@pytest.mark.parametrize("address", ["lost@also.test", "lost+x@also.test"])
def test_an_alias_to_nobody_is_refused_as_nobody(address: str) -> None:
    assert expanded(address, TABLE).reply == UNKNOWN


@pytest.mark.parametrize(
    ("table", "reply"),
    [
        ({"a": "b", "b": "a"}, CIRCLE),
        ({"a": "b", "b": "c", "c": ["d", "b"]}, CIRCLE),
        ({"a": "b", "b": "c", "c": "d", "d": "e", "e": "bob"}, None),
        ({"a": "b", "b": "c", "c": "d", "d": "e", "e": "f", "f": "bob"}, CIRCLE),
        ({"a": [f"u{n}@far.test" for n in range(20)]}, None),
        ({"a": [f"u{n}@far.test" for n in range(21)]}, TOO_MANY),
        ({"a": "|rm"}, BROKEN),
        ({"a": "b\x00c@x"}, BROKEN),
    ],
)
def test_circles_crowds_and_nonsense_make_mail_wait(table: dict[str, Any], reply: Any) -> None:
    found = expanded("a@also.test", table)
    assert found.reply == reply
    assert bool(found.reason) is (reply is not None)


def test_the_owner_of_a_list_is_its_sender_and_the_inner_list_has_its_own() -> None:
    table: dict[str, Any] = {
        "team": ["bob", "far@far.test", "inner"],
        "owner-team": "alice",
        "inner": "in@far.test",
        "owner-inner@also.test": "root",
        "plain": ["team", "x@far.test"],
    }
    found = expanded("plain@also.test", table)
    owners = {str(final.address): final.owner and str(final.owner) for final in found.finals}
    assert owners == {
        "bob@also.test": "owner-team@also.test",
        "far@far.test": "owner-team@also.test",
        "in@far.test": "owner-inner@also.test",
        "x@far.test": None,
    }
    assert [final.owner for final in expanded("owner-team@also.test", table).finals] == [None]


NAMES = st.sampled_from("abcdef")
GRAPHS = st.dictionaries(
    NAMES, st.lists(st.one_of(NAMES, st.just("bob"), st.just("x@far.test")), min_size=1, max_size=4)
)


@given(GRAPHS, NAMES)
def test_any_tables_end_and_name_nobody_twice(table: dict[str, Any], name: str) -> None:
    found = expanded(f"{name}@also.test", table)
    addresses = [final.address for final in found.finals]
    assert len(addresses) == len(set(addresses)) <= RULES.most
    for address in addresses:  # whatever is left leads nowhere else, unless it is its own mailbox
        onward = table.get(address.local) if address.domain == "also.test" else None
        assert onward is None or address.local in onward


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("|/bin/sh", "no commands"),
        ('"|/bin/sh -c x"', "no commands"),
        ("/var/mail/x", "no files"),
        (":include:/x", "include = true"),
        ("a b", "neither"),
        ("a@b@c", "no address"),
        ("@not a domain", "not a domain"),
        ("", "neither"),
        ("x" * 501, "longer"),
        ("\\", "neither"),
    ],
)
def test_what_is_no_target_is_refused_by_name(text: str, wrong: str) -> None:
    with pytest.raises(TargetError, match=wrong):
        parse_target(text)


@given(st.text(max_size=50))
def test_any_text_is_a_target_or_one_error(text: str) -> None:
    for parse in (parse_target, key_of):
        with contextlib.suppress(TargetError):
            assert parse(text) is not None


ALIASES = """\
# a comment
postmaster: root
root:   alice,
   # within
   bob@far.test , "quoted name"

"two words": alice
Info@Bücher.test: bob
news: :include:/etc/lists/news, carol
"""


def test_a_file_of_aliases_is_read() -> None:
    found = read_aliases(ALIASES, include=True)
    assert not [str(fault) for fault in found.faults if "quoted" not in str(fault)]
    assert {entry.key: (entry.line, entry.values) for entry in found.entries} == {
        "postmaster": (2, ("root",)),
        "two words": (7, ("alice",)),
        "info@xn--bcher-kva.test": (8, ("bob",)),
        "news": (9, (":include:/etc/lists/news", "carol")),
    }
    assert found.includes == ("/etc/lists/news",)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("no colon here", "line 1: 'no colon here': \"name: target, target\" is wanted"),
        ("a: b\na: c", "line 2: 'a' stands in line 1 already"),
        ("a: b\nA: c", "line 2: 'A' stands in line 1 already"),
        ("a: |cmd", "line 1: '|cmd': no commands are run for mail; a filter or a transport can do that"),
        ("a:", "line 1: 'a' leads nowhere; write /dev/null where that is meant"),
        ("a: :include:/x", "line 1: ':include:/x': lists in files are read only by a table with include = true"),
        ("a@b c: d", None),
    ],
)
def test_faults_are_told_with_their_line(text: str, wrong: str | None) -> None:
    faults = [str(fault) for fault in read_aliases(text).faults]
    assert faults == [wrong] if wrong else faults


def test_pairs_and_lists_are_read() -> None:
    found = read_pairs("info@x.test  alice,\n\tbob\n@old.test @new.test\n# no\nbroken\n")
    assert [(entry.key, entry.values) for entry in found.entries] == [
        ("info@x.test", ("alice", "bob")),
        ("@old.test", ("@new.test",)),
    ]
    assert [fault.line for fault in found.faults] == [5]
    targets, faults = read_list("alice, bob@x.test\n# no\n/etc/passwd\nalice\n")
    assert targets == ("alice", "bob@x.test", "/etc/passwd")
    assert [fault.line for fault in faults] == [3]


@given(st.text(st.sampled_from('ab@:, \n\t"#\\|/.'), max_size=60))
def test_any_file_is_entries_and_faults(text: str) -> None:
    for read in (read_aliases, read_pairs):
        found = read(text)
        assert len({entry.key for entry in found.entries}) == len(found.entries)
    read_list(text)
    assert all(piece.strip() for piece in split_targets(text))


@pytest.mark.parametrize("end", ["", "\\", "\\\n", '"', ","])
@pytest.mark.parametrize("piece", ['"\\', 'a,"', '"', '"a\\"', '"\n'])
def test_quotes_that_do_not_end_take_no_square_of_the_time(piece: str, end: str) -> None:
    """Whoever may write a list in a file could stop all mail by a line: it took minutes."""
    text = piece * 100_000 + end
    costs_less_than(2.0, lambda: list(split_targets(text)))
