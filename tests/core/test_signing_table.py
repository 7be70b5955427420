"""The signing table: the first rule that matches counts, and only domains that have keys sign."""

import attrs
import pytest

from relaygw.core.envelope import Envelope
from relaygw.core.record import Record
from relaygw.core.signing_table import (
    DEFAULT_RULE,
    SIGNED_FIELDS,
    Rule,
    compile_signing,
    nearest,
    problems,
)


@attrs.frozen(kw_only=True)
class Entry:
    """A rule as the configuration has it."""

    name: str = "r"
    header_from: tuple[str, ...] = ()
    login: tuple[str, ...] = ()
    listener: tuple[str, ...] = ()
    domains: tuple[str, ...] = ("author",)
    parents: bool = True
    fields: tuple[str, ...] = ()
    oversigned: tuple[str, ...] = ("From",)
    expire: float = 0.0
    timestamp: bool = True


def record(author: str, login: str = "", listener: str = "") -> Record:
    envelope = Envelope(sender=None, recipients=())
    return Record(
        queue_id="q", envelope=envelope, arrived=0.0, recipients=(), header_from=author, login=login, listener=listener
    )


KEYED = {"example.com": 1, "mail.example.com": 1, "ours.example": 1}


@pytest.mark.parametrize(
    ("domain", "parents", "found"),
    [
        ("example.com", True, "example.com"),
        ("example.com", False, "example.com"),
        ("a.b.example.com", True, "example.com"),
        ("a.b.example.com", False, ""),
        ("a.mail.example.com", True, "mail.example.com"),
        ("notexample.com", True, ""),
        ("com", True, ""),
        ("", True, ""),
    ],
)
def test_the_nearest_domain_above_signs_where_that_is_allowed(domain: str, parents: bool, found: str) -> None:
    assert nearest(domain, KEYED, parents) == found


def test_the_first_rule_that_matches_counts_and_else_the_default() -> None:
    table = compile_signing(
        [
            Entry(name="login", login=("a", "b")),
            Entry(name="exact", header_from=("example.com",)),
            Entry(name="below", header_from=(".example.com",), listener=("bulk",)),
            Entry(name="local", header_from=("local",)),
            Entry(name="relay", header_from=("relay",)),
        ],
        domains=("ours.example",),
        relay_domains=("theirs.example",),
    )

    def chosen(author: str, **facts: str) -> str:
        return table.choose(record(author, **facts)).label

    assert chosen("example.com", login="b") == "login"
    assert chosen("example.com", login="c") == "exact"
    assert chosen("a.example.com", listener="bulk") == "below"
    assert chosen("a.example.com") == ""
    assert chosen("ours.example") == "local"
    assert chosen("theirs.example") == "relay"
    assert compile_signing([]).choose(record("example.com")) is DEFAULT_RULE


@pytest.mark.parametrize(
    ("domains", "signers"),
    [
        (("author",), ("example.com",)),
        (("author", "ours.example"), ("example.com", "ours.example")),
        (("ours.example", "author", "ours.example"), ("ours.example", "example.com")),
        (("example.com", "author"), ("example.com",)),
        (("keyless.example",), ()),
        ((), ()),
    ],
)
def test_each_domain_signs_once_and_only_with_keys(domains: tuple[str, ...], signers: tuple[str, ...]) -> None:
    assert Rule(domains=domains).signers("example.com", KEYED) == signers


def test_from_is_signed_whatever_is_chosen_and_so_is_what_is_oversigned() -> None:
    (rule,) = compile_signing([Entry(fields=("Subject", "To", "SUBJECT"), oversigned=("Cc",), expire=60.5)]).rules
    assert rule.form.names == (b"from", b"subject", b"to", b"cc")
    assert (rule.form.oversigned, rule.form.lifetime, rule.form.timed) == ((b"cc",), 60, True)
    (plain,) = compile_signing([Entry()]).rules
    assert plain.form == DEFAULT_RULE.form
    assert plain.form.names == SIGNED_FIELDS


def test_what_would_surprise_is_told() -> None:
    found = [
        (place, key)
        for place, key, _ in problems(
            [
                Entry(fields=("Received",), oversigned=("DKIM-Signature",), login=("a",)),
                Entry(expire=60.0, timestamp=False),
                Entry(login=("b",)),
            ]
        )
    ]
    assert found == [(0, "fields"), (0, "oversigned"), (1, "expire"), (1, "name")]
