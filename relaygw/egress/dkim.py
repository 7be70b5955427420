"""Signs our own mail on its way out (RFC 6376, RFC 8463): every key of the author's domain, at every attempt.

Keys are read once, at start. The private operation runs in threads of its own: OpenSSL works without the interpreter
lock, so another core can sign while the reactor talks. What waits is handed over together. Signed is only mail that
came from somebody we know; that a stranger writes our domain into From makes it none of ours.

What came from strangers and is handed on is sealed (ARC, RFC 8617) where a key is meant for that: the seal says what
we found when it came.
"""

import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import attrs
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from twisted.internet.defer import Deferred
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

from relaygw import keys
from relaygw.config.schema import Config, DkimKeyConfig
from relaygw.core.arc.seal import Sealer, own_findings, seal
from relaygw.core.content import Content
from relaygw.core.dkim_signature import Signature, Unsigned, body_hash, signed_fields
from relaygw.core.permission import Permission, domains_of
from relaygw.core.record import Origin, Record
from relaygw.interfaces import ISigner

SMALL = 64 * 1024
"""Octets of content up to which hashing is quicker than a visit to a thread."""

BATCH = 8
"""Signatures a thread makes before it reports: a compromise between hand-overs and waiting."""


class DkimError(Exception):
    """Keys that cannot be used; `problems` has one sentence for each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


def _signature(key: "SigningKey") -> Signature:
    return Signature(algorithm=key.algorithm, domain=key.domain, selector=key.selector)


@attrs.frozen(kw_only=True, eq=False)
class SigningKey:
    """A key ready to sign. `algorithm` is "rsa" or "ed25519"."""

    domain: str
    selector: str
    algorithm: str
    private: keys.PrivateKey = attrs.field(repr=False)
    signature: Signature = attrs.field(init=False, repr=False, default=attrs.Factory(_signature, takes_self=True))

    def sign(self, data: bytes) -> bytes:
        """RFC 6376 3.3, RFC 8463 3: the signature of the SHA-256 of `data`."""
        if isinstance(self.private, RSAPrivateKey):
            return self.private.sign(data, PKCS1v15(), SHA256())
        digest = Hash(SHA256())
        digest.update(data)
        return self.private.sign(digest.finalize())


def load_keys(configured: Iterable[DkimKeyConfig]) -> tuple[SigningKey, ...]:
    """All keys of the configuration; raises DkimError with everything that is wrong."""
    loaded, problems = [], []
    for key in configured:
        try:
            private = keys.load(Path(key.private_key).read_bytes())
        except OSError as error:
            problems.append(f"the DKIM key {key.private_key} cannot be read: {error.strerror}")
        except keys.UnusableKey as error:
            problems.append(f"the DKIM key {key.private_key} cannot be used: {error}")
        else:
            algorithm = keys.algorithm(private)
            loaded.append(SigningKey(domain=key.domain, selector=key.selector, algorithm=algorithm, private=private))
    if problems:
        raise DkimError(problems)
    return tuple(loaded)


Job = Callable[[], bytes]


class Workshop:
    """Runs jobs in threads of its own, several per hand-over. `reactor` provides IReactorFromThreads."""

    def __init__(self, reactor: Any, threads: int) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(minthreads=0, maxthreads=threads, name="dkim")
        self._free = threads
        self._waiting: list[tuple[Job, Deferred[bytes]]] = []
        self._started = False

    def do(self, job: Job) -> Deferred[bytes]:
        answer: Deferred[bytes] = Deferred()
        self._waiting.append((job, answer))
        self._hand_over()
        return answer

    def stop(self) -> None:
        """Waits for jobs that run; those are short."""
        if self._started:
            self._pool.stop()

    def _hand_over(self) -> None:
        """Free threads share what waits. While all are busy more gathers, and one visit serves it all."""
        if not self._started:
            self._pool.start()
            self._started = True
        while self._free and self._waiting:
            share = min(BATCH, math.ceil(len(self._waiting) / self._free))
            batch, self._waiting = self._waiting[:share], self._waiting[share:]
            self._free -= 1
            self._pool.callInThread(self._work, batch)

    def _work(self, batch: list[tuple[Job, Deferred[bytes]]]) -> None:
        """In the thread. What a job raises is its answer."""
        results: list[tuple[Deferred[bytes], bytes | Exception]] = []
        for job, answer in batch:
            try:
                results.append((answer, job()))
            except Exception as error:
                results.append((answer, error))
        self._reactor.callFromThread(self._deliver, results)

    def _deliver(self, results: list[tuple[Deferred[bytes], bytes | Exception]]) -> None:
        self._free += 1
        self._hand_over()
        for answer, result in results:
            if isinstance(result, Exception):
                answer.errback(result)
            else:
                answer.callback(result)


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
    """`trusts` tells whether a client may send as us without a login. `sealing` None: mail of others is not sealed."""

    def __init__(
        self,
        signing_keys: Iterable[SigningKey],
        trusts: Callable[[str], bool],
        reactor: Any,
        threads: int = 0,
        sealing: Sealing | None = None,
    ) -> None:
        self._sealing = sealing
        self._keys: dict[str, tuple[SigningKey, ...]] = {}
        for key in signing_keys:
            self._keys[key.domain] = (*self._keys.get(key.domain, ()), key)
        self._trusts = trusts
        self._clock = reactor
        self._workshop = Workshop(reactor, threads or min(2, os.cpu_count() or 1))

    async def sign(self, record: Record, content: Content) -> bytes:
        """One DKIM-Signature field per key; an ARC set, or b"", for mail that is not ours to sign."""
        chosen = self.keys_for(record)
        now = int(self._clock.seconds())
        if not chosen:
            sealing = self._sealing
            if sealing is None or self._is_ours(record):
                return b""
            return await self._workshop.do(lambda: sealing.seal(content, now))
        if content.size > SMALL:
            return await self._workshop.do(lambda: _sign(chosen, content, now))
        parts = _parts(chosen, content, now)
        return await self._workshop.do(lambda: _finish(parts))

    def keys_for(self, record: Record) -> tuple[SigningKey, ...]:
        """The keys of the author's domain, or of the nearest domain above it that has any."""
        domain = record.header_from
        if not domain or not self._keys or not self._is_ours(record):
            return ()
        while domain:
            if domain in self._keys:
                return self._keys[domain]
            domain = domain.partition(".")[2]
        return ()

    def stop(self) -> None:
        """Call it when nothing is being signed any more."""
        self._workshop.stop()

    def _is_ours(self, record: Record) -> bool:
        return record.origin is not Origin.RECEIVED or bool(record.login) or self._trusts(record.client)


def make_signer(config: Config, reactor: Any) -> DkimSigner:
    """The signer the configuration asks for; raises DkimError."""
    permission = Permission(local=domains_of(config.domains), trusted=config.trusted_networks)
    loaded = load_keys(config.dkim)
    sealing = next(
        (
            Sealing(key=key, authserv_id=config.hostname)
            for key, configured in zip(loaded, config.dkim, strict=True)
            if configured.seals
        ),
        None,
    )
    return DkimSigner(loaded, permission.trusts, reactor, sealing=sealing)


Part = tuple[SigningKey, Unsigned]


def _parts(chosen: tuple[SigningKey, ...], content: Content, now: int) -> list[Part]:
    """All that is done without the private keys. Every key signs the same fields and body."""
    head = content.head
    fields = signed_fields(head)
    digest = body_hash(content.chunks(len(head) + 2))
    return [(key, key.signature.unsigned(fields, digest, now)) for key in chosen]


def _finish(parts: list[Part]) -> bytes:
    return b"".join(field.signed(key.sign(field.data)) for key, field in parts)


def _sign(chosen: tuple[SigningKey, ...], content: Content, now: int) -> bytes:
    return _finish(_parts(chosen, content, now))
