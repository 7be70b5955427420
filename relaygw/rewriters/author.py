"""The rewriter "from-address": From and reverse-path become an address of ours, for devices that know no better.

A scanner that calls itself scanner@localhost is refused by the world: nobody can verify such a domain, and no answer
can reach it. Options, of which `address` or `domain` must be given:

    address    what From becomes, such as "devices@example.com"
    domain     only the domain is replaced, the local part stays
    envelope   whether the reverse-path is changed as well (true)
    ours       whether an address in our own domains is changed too (false)

The author's name is kept; where there is none, the old address becomes the name, so that people see who sent it.
The null reverse-path stays. All other fields and the body stay as they are, to the octet.
"""

import re

import attrs
from zope.interface import implementer

from relaygw.config.kinds import Domain
from relaygw.core.address import Address, parse_address
from relaygw.core.envelope import Envelope
from relaygw.core.from_field import Author, AuthorsError, read_authors
from relaygw.core.headers import fields
from relaygw.core.permission import domains_of
from relaygw.interfaces import IRewriter, Options, Services
from relaygw.plugins import structure_options

_WORD = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+\Z")
_QUOTED = re.compile(r'"(?:[ !#-\[\]-~]|\\[ -~])*"\Z')


@attrs.frozen(kw_only=True)
class AuthorOptions:
    address: str = ""
    domain: Domain = ""
    envelope: bool = True
    ours: bool = False

    def __attrs_post_init__(self) -> None:
        if bool(self.address) == bool(self.domain):
            raise ValueError("one of address and domain is wanted")
        if self.address:
            parse_address(self.address)


@implementer(IRewriter)
class AuthorRewriter:
    """See the module."""

    def __init__(self, options: Options, services: Services) -> None:
        given = structure_options(AuthorOptions, options)
        settings = services.settings
        self._address = parse_address(given.address) if given.address else None
        self._domain = given.domain
        self._envelope = given.envelope
        self._kept = domains_of(() if given.ours else (*settings.local_domains, *settings.relay_domains))

    def rewrite(self, envelope: Envelope, head: bytes) -> tuple[Envelope, bytes]:
        """Both as they were where their addresses are ours already."""
        sender = envelope.sender
        if self._envelope and sender is not None and sender.domain not in self._kept:
            envelope = attrs.evolve(envelope, sender=self._new(sender))
        return envelope, self._rewrite_head(sender, head)

    def _new(self, old: Address | None) -> Address:
        if self._address is not None:
            return self._address
        return Address(old.local if old is not None else "unknown", self._domain)

    def _rewrite_head(self, sender: Address | None, head: bytes) -> bytes:
        """Where From cannot be read, or is not there, the reverse-path says who it was."""
        try:
            authors = read_authors(head)
        except AuthorsError:
            authors = ()
        if authors and all(author.address.domain in self._kept for author in authors):
            return head
        author = authors[0] if authors else Author(sender or self._new(None))
        return _replace(head, self._field(author))

    def _field(self, author: Author) -> bytes:
        new = self._new(author.address)
        if new == author.address and not author.name:
            return f"From: <{new}>\r\n".encode()
        return f"From: {display(author)}\r\n <{new}>\r\n".encode()


def display(author: Author) -> str:
    """A display name that is one: the author's, or the address in its place."""
    words = author.name.split(" ") if author.name else []
    if words and len(author.name) <= 300 and (_QUOTED.match(author.name) or all(map(_WORD.match, words))):
        return author.name
    text = author.name.replace('"', "") or str(author.address)
    return '"' + re.sub(r'([\\"])', r"\\\1", "".join(c for c in text[:300] if c.isprintable())) + '"'


def _replace(head: bytes, field: bytes) -> bytes:
    """The new field where the first From stood, and no other; on top where there was none."""
    kept: list[bytes] = []
    there = False
    for each in fields(head):
        if each.name.lower() != b"from":
            kept.append(each.raw)
        elif not there:
            kept.append(field)
            there = True
    return b"".join(kept) if there else field + b"".join(kept)
