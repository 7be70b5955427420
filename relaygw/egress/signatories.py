"""Who signs: the private keys, read once, and for each rule of the signing table and each domain what signs with them.

Which keys are in use may change while mail is signed (they are rotated): a new Signatories takes the place of the old.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

import attrs
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256, Hash

from relaygw import keys
from relaygw.core.dkim_signature import Form, Signature
from relaygw.core.record import Record
from relaygw.core.signing_table import DEFAULT_RULE, Rule, SigningTable

_PADDING, _SHA256 = PKCS1v15(), SHA256()


class DkimError(Exception):
    """Keys that cannot be used; `problems` has one sentence for each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


@attrs.frozen(kw_only=True, eq=False)
class SigningKey:
    """A key ready to sign. `algorithm` is "rsa" or "ed25519"; `seals`: it also seals what is handed on for others;
    `private_key` is the file it came from."""

    domain: str
    selector: str
    algorithm: str
    private: keys.PrivateKey = attrs.field(repr=False)
    seals: bool = False
    private_key: str = ""

    def sign(self, data: bytes) -> bytes:
        """RFC 6376 3.3, RFC 8463 3: the signature of the SHA-256 of `data`."""
        if isinstance(self.private, RSAPrivateKey):
            return self.private.sign(data, _PADDING, _SHA256)
        digest = Hash(_SHA256)
        digest.update(data)
        return self.private.sign(digest.finalize())


class NamedKey(Protocol):
    """A key as the configuration, or the book of keys, names it."""

    @property
    def domain(self) -> str: ...
    @property
    def selector(self) -> str: ...
    @property
    def private_key(self) -> str: ...
    @property
    def seals(self) -> bool: ...


def load_keys(named: Iterable[NamedKey]) -> tuple[SigningKey, ...]:
    """All these keys; raises DkimError with everything that is wrong."""
    loaded, problems = [], []
    for key in named:
        try:
            private = keys.load(Path(key.private_key).read_bytes())
        except OSError as error:
            problems.append(f"the DKIM key {key.private_key} cannot be read: {error.strerror}")
        except keys.UnusableKey as error:
            problems.append(f"the DKIM key {key.private_key} cannot be used: {error}")
        else:
            algorithm = keys.algorithm(private)
            loaded.append(
                SigningKey(
                    domain=key.domain,
                    selector=key.selector,
                    algorithm=algorithm,
                    private=private,
                    seals=key.seals,
                    private_key=key.private_key,
                )
            )
    if problems:
        raise DkimError(problems)
    return tuple(loaded)


@attrs.frozen(eq=False)
class Signatory:
    """A key, and how it signs by one rule."""

    key: SigningKey
    signature: Signature


Chosen = tuple[Signatory, ...]


class Signatories:
    """The keys in use by the rules of the table."""

    def __init__(self, signing_keys: Iterable[SigningKey] = (), table: SigningTable | None = None) -> None:
        self.keys = tuple(signing_keys)
        self._table = table or SigningTable()
        keyed: dict[str, tuple[SigningKey, ...]] = {}
        for key in self.keys:
            keyed[key.domain] = (*keyed.get(key.domain, ()), key)
        self._keyed = keyed
        forms = {rule.form: _by_domain(keyed, rule.form) for rule in (*self._table.rules, DEFAULT_RULE)}
        self._by_form: Mapping[Form, Mapping[str, Chosen]] = forms
        self._plain = forms[DEFAULT_RULE.form]

    def choose(self, record: Record) -> Chosen:
        """What signs mail of this author; () where nothing does. All of it has one form."""
        domain = record.header_from
        if not domain or not self.keys:
            return ()
        if not self._table.rules:
            chosen = self._plain.get(domain)
            return chosen if chosen is not None else self._by_rule(DEFAULT_RULE, domain)
        return self._by_rule(self._table.choose(record), domain)

    def rule(self, record: Record) -> Rule:
        """The rule that says so, for explanations."""
        return self._table.choose(record)

    def _by_rule(self, rule: Rule, author: str) -> Chosen:
        by_domain = self._by_form[rule.form]
        return tuple(each for domain in rule.signers(author, self._keyed) for each in by_domain[domain])


def _by_domain(keyed: Mapping[str, tuple[SigningKey, ...]], form: Form) -> Mapping[str, Chosen]:
    return {
        domain: tuple(
            Signatory(key, Signature(algorithm=key.algorithm, domain=key.domain, selector=key.selector, form=form))
            for key in found
        )
        for domain, found in keyed.items()
    }
