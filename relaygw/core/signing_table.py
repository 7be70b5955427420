"""The signing table: whose keys sign a message of ours, and in which form; the first rule that matches counts.

It knows domains, and never keys: which of them have any is an argument. Without rules, and for what no rule matches,
mail is signed by the author's domain, or by the nearest domain above it that has keys.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

import attrs

from relaygw.core.dkim_signature import DEFAULT_FORM, SIGNED_FIELDS, Form
from relaygw.core.patterns import Patterns, compile_patterns
from relaygw.core.record import Record

AUTHOR = "author"
"""In place of a domain: the domain of the From field."""


class Entry(Protocol):
    """A rule as the configuration has it."""

    @property
    def name(self) -> str: ...
    @property
    def header_from(self) -> tuple[str, ...]: ...
    @property
    def login(self) -> tuple[str, ...]: ...
    @property
    def listener(self) -> tuple[str, ...]: ...
    @property
    def domains(self) -> tuple[str, ...]: ...
    @property
    def parents(self) -> bool: ...
    @property
    def fields(self) -> tuple[str, ...]: ...
    @property
    def oversigned(self) -> tuple[str, ...]: ...
    @property
    def expire(self) -> float: ...
    @property
    def timestamp(self) -> bool: ...


@attrs.frozen(kw_only=True)
class Rule:
    """One rule; None or empty: no such condition. `domains` sign, AUTHOR among them; with `parents`, the nearest domain
    above the author's does where the author's own has no keys."""

    label: str = ""
    header_from: Patterns | None = None
    login: frozenset[str] = frozenset()
    listener: frozenset[str] = frozenset()
    domains: tuple[str, ...] = (AUTHOR,)
    parents: bool = True
    form: Form = DEFAULT_FORM

    def matches(self, record: Record) -> bool:
        return (
            (self.header_from is None or self.header_from.match_domain(record.header_from) != "")
            and (not self.login or record.login in self.login)
            and (not self.listener or record.listener in self.listener)
        )

    def signers(self, author: str, keyed: Mapping[str, object]) -> tuple[str, ...]:
        """The domains that sign for an author's domain, each once and only those that have keys."""
        found = [nearest(author, keyed, self.parents) if name == AUTHOR else name for name in self.domains]
        return tuple(dict.fromkeys(domain for domain in found if domain in keyed))


DEFAULT_RULE = Rule()
"""What holds where no rule matches."""


@attrs.frozen
class SigningTable:
    """The compiled table."""

    rules: tuple[Rule, ...] = ()

    def choose(self, record: Record) -> Rule:
        for rule in self.rules:
            if rule.matches(record):
                return rule
        return DEFAULT_RULE


def nearest(domain: str, keyed: Mapping[str, object], parents: bool) -> str:
    """The domain, or the nearest one above it, that has keys; "" where none has."""
    while domain not in keyed and domain:
        domain = domain.partition(".")[2] if parents else ""
    return domain


def compile_signing(
    rules: Sequence[Entry], domains: Collection[str] = (), relay_domains: Collection[str] = ()
) -> SigningTable:
    """The table for these rules; raises PatternError for a pattern that is none."""
    groups = {"local": domains, "relay": relay_domains}
    return SigningTable(tuple(_rule(entry, groups) for entry in rules))


def _rule(entry: Entry, groups: dict[str, Collection[str]]) -> Rule:
    return Rule(
        label=entry.name,
        header_from=compile_patterns(entry.header_from, groups) if entry.header_from else None,
        login=frozenset(entry.login),
        listener=frozenset(entry.listener),
        domains=entry.domains,
        parents=entry.parents,
        form=_form(entry),
    )


def _form(entry: Entry) -> Form:
    """What is oversigned is signed, and From always is (RFC 6376 5.4)."""
    listed = _names(entry.fields) or SIGNED_FIELDS
    oversigned = _names(entry.oversigned)
    names = tuple(dict.fromkeys((b"from", *listed, *oversigned)))
    return Form(names=names, oversigned=oversigned, lifetime=int(entry.expire), timed=entry.timestamp)


def _names(fields: Iterable[str]) -> tuple[bytes, ...]:
    return tuple(dict.fromkeys(field.lower().encode("ascii") for field in fields))


UNFIT = frozenset(
    {
        "return-path", "received", "bcc", "resent-bcc", "comments", "keywords", "dkim-signature",
        "authentication-results", "arc-seal", "arc-message-signature", "arc-authentication-results",
    }
)  # fmt: skip
"""Fields that others add, change or remove on the way (RFC 6376 5.4.1, RFC 8617 4.1.2): to sign them breaks mail."""


def problems(rules: Sequence[Entry]) -> Iterable[tuple[int, str, str]]:
    """What is wrong with the rules: the place of each, its option, and a sentence."""
    for place, entry in enumerate(rules):
        for key in ("fields", "oversigned"):
            for field in getattr(entry, key):
                if field.lower() in UNFIT:
                    yield place, key, f"{field} is changed or removed on the way: a signature over it would break"
        if not entry.timestamp and entry.expire:
            yield place, "expire", "a signature that tells when it expires should tell when it was made (timestamp)"
    yield from _dead(rules)


def _dead(rules: Sequence[Entry]) -> Iterable[tuple[int, str, str]]:
    for place, entry in enumerate(rules[:-1]):
        if not (entry.header_from or entry.login or entry.listener):
            yield place, "name", "this rule matches everything, so that those after it never count"
            return
