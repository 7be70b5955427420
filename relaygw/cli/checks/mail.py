"""What makes mail arrive elsewhere: signatures for every domain, keys that verifiers accept, a full hostname."""

import time
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from relaygw import keybook, keys
from relaygw.cli.checks.finding import Finding, error, warning
from relaygw.config.schema import Config, DkimKeyConfig
from relaygw.core.dkim_rotation import Ring, Stage
from relaygw.core.dkim_watch import alarms, next_step
from relaygw.core.signing_table import AUTHOR

_LEAST_EXPIRE = 3 * 86400.0
"""Seconds: many queues keep mail over a weekend."""


def check(config: Config) -> Iterator[Finding]:
    if "." not in config.hostname:
        advice = "use a full name that the DNS knows"
        yield warning("hostname", f"{config.hostname} is not a full name: other hosts will refuse it in EHLO", advice)
    for number, key in enumerate(config.dkim, 1):
        yield from _key(f"dkim[{number}].private_key", key)
        if key.seals and all(each.mode == "shadow" for each in config.filters if each.use == "arc"):
            message = "nothing is sealed: the filter arc is in shadow mode, and so nothing is said of chains"
            yield warning(f"dkim[{number}].seals", message, 'leave out mode = "shadow"; arc refuses nothing by default')
    try:
        ring = keybook.all_keys(config)
    except keybook.BookError:
        return  # told among the parts
    yield from _ring(config, ring)
    signed = {each.domain for each in config.dkim} | {key.domain for key in ring}
    for domain in (
        *config.domains,
        *config.aliases.domains,
        *(each for each in config.relay_domains if not each.startswith(".")),
    ):
        if domain not in signed:
            yield warning("dkim", f"mail from {domain} will not be signed", f"relaygw dkim generate {domain}")
    keyed = {*signed, AUTHOR}
    for number, rule in enumerate(config.signing, 1):
        if 0 < rule.expire < _LEAST_EXPIRE:
            message = "mail that waits somewhere for longer will not be verified any more"
            yield warning(f"signing[{number}].expire", message, "give it a few days")
        for domain in rule.domains:
            if domain not in keyed:
                yield warning(f"signing[{number}].domains", f"{domain} has no key", f"relaygw dkim generate {domain}")


def _ring(config: Config, ring: Ring) -> Iterator[Finding]:
    """What the service found at its last look, and keys that wait for somebody."""
    now, times = time.time(), keybook.times_of(config)
    for alarm in alarms(ring, now, times):
        name = f"{alarm.selector}._domainkey.{alarm.domain}"
        yield warning("dkim", f"{name}: {alarm.message}", f"relaygw dkim check {alarm.domain}")
    for key in ring:
        if key.stage is Stage.GENERATED and not key.signs:
            message = f"the key {key.selector} of {key.domain} signs nothing: the DNS has not shown its record yet"
            yield warning("dkim", message, next_step(key, now, times, config.key_rotation.automatic))
        elif key.configured and key.stage in (Stage.RETIRED, Stage.REVOKED):
            message = f"the key {key.selector} of {key.domain} was replaced: its [[dkim]] table does nothing"
            yield warning("dkim", message, "remove the table")


def _key(path: str, config: DkimKeyConfig) -> Iterator[Finding]:
    try:
        pem = Path(config.private_key).read_bytes()
    except OSError:
        return  # told among the files
    try:
        key = keys.load(pem)
    except keys.UnusableKey as failure:
        yield error(path, f"{config.private_key}: {failure}", "make another: relaygw dkim generate")
        return
    if isinstance(key, RSAPrivateKey) and key.key_size < keys.RSA_BITS:
        yield warning(path, f"{key.key_size} bits are too few for an RSA key (RFC 8301 3.2)", "make one of 2048 bits")
