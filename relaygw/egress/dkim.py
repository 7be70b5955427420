"""Signs our own mail on its way out (RFC 6376, RFC 8463): every key of the author's domain, at every attempt.

Keys are read once, at start. The private operation runs in threads of its own: OpenSSL works without the interpreter
lock, so another core can sign while the reactor talks. What waits is handed over together. Signed is only mail that
came from somebody we know; that a stranger writes our domain into From makes it none of ours.

What came from strangers and is handed on is sealed (ARC, RFC 8617) where a key is meant for that: the seal says what
we found when it came.
"""

import os
from collections.abc import Callable, Iterable
from typing import Any

import attrs
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from relaygw.config.schema import Config
from relaygw.core.arc.seal import Sealer, own_findings, seal
from relaygw.core.content import Content
from relaygw.core.dkim_signature import Unsigned, body_hash, signed_fields
from relaygw.core.permission import Permission, domains_of
from relaygw.core.record import Origin, Record
from relaygw.core.signing_table import SigningTable, compile_signing
from relaygw.egress.signatories import Chosen, NamedKey, Signatories, SigningKey, load_keys
from relaygw.egress.workshop import Workshop
from relaygw.interfaces import ISigner

SMALL = 64 * 1024
"""Octets of content up to which hashing is quicker than a visit to a thread."""


@attrs.frozen(kw_only=True)
class Sealing:
    """The key that seals, and the name our Authentication-Results bear."""

    key: SigningKey
    authserv_id: str

    def seal(self, content: Content, now: int) -> bytes:
        """One ARC set, b"" where we have not checked the chain or it takes no other set."""
        head = content.head
        found = own_findings(head, self.authserv_id)
        if found is None:
            return b""
        key = self.key
        sealer = Sealer(domain=key.domain, selector=key.selector, algorithm=key.algorithm, sign=key.sign)
        return seal(head, body_hash(content.chunks(len(head) + 2)), found, self.authserv_id, sealer, now)


@implementer(ISigner)
class DkimSigner:
    """`trusts` tells whether a client may send as us without a login. `authserv_id` is our name in the fields that are
    sealed, "": mail of others is not sealed. Without `table` every author's own keys sign."""

    def __init__(
        self,
        signing_keys: Iterable[SigningKey],
        trusts: Callable[[str], bool],
        reactor: Any,
        threads: int = 0,
        table: SigningTable | None = None,
        authserv_id: str = "",
    ) -> None:
        self._trusts = trusts
        self._table = table
        self._authserv_id = authserv_id
        self._clock = reactor
        self._workshop = Workshop(reactor, threads or min(2, os.cpu_count() or 1))
        self.use(signing_keys)

    def use(self, signing_keys: Iterable[SigningKey]) -> None:
        """Sign with these keys from now on; what was begun is finished with those before."""
        self._signatories = Signatories(signing_keys, self._table)
        sealing = next((key for key in self._signatories.keys if key.seals), None) if self._authserv_id else None
        self._sealing = Sealing(key=sealing, authserv_id=self._authserv_id) if sealing is not None else None

    @property
    def keys(self) -> tuple[SigningKey, ...]:
        """The keys in use."""
        return self._signatories.keys

    def sign(self, record: Record, content: Content) -> Deferred[bytes]:
        """One DKIM-Signature field per key; an ARC set, or b"", for mail that is not ours to sign."""
        ours = self._is_ours(record)
        chosen = self._signatories.choose(record) if ours else ()
        now = int(self._clock.seconds())
        if not chosen:
            sealing = self._sealing
            if sealing is None or ours:
                return succeed(b"")
            return self._workshop.do(lambda: sealing.seal(content, now))
        if content.size > SMALL:
            return self._workshop.do(lambda: _sign(chosen, content, now))
        parts = _parts(chosen, content, now)
        return self._workshop.do(lambda: _finish(parts))

    def keys_for(self, record: Record) -> tuple[SigningKey, ...]:
        """The keys that sign this message, if it is ours to sign: others are told by `sign` alone."""
        return tuple(each.key for each in self._signatories.choose(record))

    def stop(self) -> None:
        """Call it when nothing is being signed any more."""
        self._workshop.stop()

    def _is_ours(self, record: Record) -> bool:
        return record.origin is not Origin.RECEIVED or bool(record.login) or self._trusts(record.client)


def make_signer(config: Config, reactor: Any, named: Iterable[NamedKey] | None = None) -> DkimSigner:
    """The signer the configuration asks for, with its keys or those `named` instead; raises DkimError."""
    permission = Permission(local=domains_of(config.local_domains), trusted=config.trusted_networks)
    return DkimSigner(
        load_keys(config.dkim if named is None else named),
        permission.trusts,
        reactor,
        table=compile_signing(config.signing, config.local_domains, config.relay_domains),
        authserv_id=config.hostname,
    )


Part = tuple[SigningKey, Unsigned]


def _parts(chosen: Chosen, content: Content, now: int) -> list[Part]:
    """All that is done without the private keys. Every key signs the same fields and body."""
    head = content.head
    fields = signed_fields(head, chosen[0].signature.form)
    digest = body_hash(content.chunks(len(head) + 2))
    return [(each.key, each.signature.unsigned(fields, digest, now)) for each in chosen]


def _finish(parts: list[Part]) -> bytes:
    return b"".join(field.signed(key.sign(field.data)) for key, field in parts)


def _sign(chosen: Chosen, content: Content, now: int) -> bytes:
    return _finish(_parts(chosen, content, now))
