"""What the configuration says of addresses, made real: whose domains are ours, which of our addresses lead to others,
and what proves our return addresses.
"""

import os
import stat

from relaygw.aliases import Aliases, NamedTable
from relaygw.config.schema import Config, SrsConfig
from relaygw.core.aliasing import Rules
from relaygw.core.permission import Permission, domains_of
from relaygw.core.srs import Srs
from relaygw.interfaces import Services
from relaygw.secret import KeptSecret

SECRET = "srs-secret"  # noqa: S105
"""The file of the secret in the state directory, where the configuration names none."""

MIN_SECRET = 16
"""Octets of a secret."""

DAY = 86400


class SecretError(ValueError):
    """A secret cannot be used; the message says which and why, and never what it is."""


def permission_of(config: Config) -> Permission:
    """Addresses of [aliases] domains and return addresses are ours as those in mailboxes are."""
    local = (*config.domains, *config.aliases.domains, *((config.srs.domain,) if config.srs.domain else ()))
    return Permission(local=domains_of(local), relay=domains_of(config.relay_domains), trusted=config.trusted_networks)


def make_aliases(config: Config, services: Services) -> Aliases | None:
    """None where no address leads to another. Raises SecretError."""
    srs = make_srs(config.srs, config.state)
    if not config.aliases.tables and srs is None:
        return None
    return Aliases(
        tables=tuple(NamedTable(name, services.tables[name]) for name in config.aliases.tables),
        directory=services.directory,
        rules=rules_of(config),
        srs=srs,
        now=services.reactor.seconds,
    )


def rules_of(config: Config) -> Rules:
    return Rules(
        local=frozenset(config.domains),
        virtual=frozenset(config.aliases.domains),
        relay=domains_of(config.relay_domains),
        delimiter=config.aliases.delimiter,
        depth=config.aliases.depth,
        most=config.aliases.recipients,
    )


def make_srs(config: SrsConfig, state: str) -> Srs | None:
    """None where there is no domain for return addresses. Raises SecretError."""
    if not config.domain:
        return None
    secrets = tuple(map(_read, config.secret_files)) or (KeptSecret(os.path.join(state, SECRET))(),)
    return Srs(
        domain=config.domain,
        secrets=secrets,
        separator=config.separator,
        hash_length=config.hash_length,
        max_age=max(1, round(config.max_age / DAY)),
    )


def _read(path: str) -> bytes:
    """The file's content without white space at its ends."""
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            secret = file.read(4096).strip()
    except OSError as error:
        raise SecretError(f"srs.secret_files: {path}: {error.strerror}") from None
    if mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise SecretError(f"srs.secret_files: {path}: others can read it (mode {mode & 0o777:o}); make it 600")
    if len(secret) < MIN_SECRET:
        raise SecretError(f"srs.secret_files: {path}: a secret has at least {MIN_SECRET} octets")
    return secret
