"""What makes mail arrive elsewhere: signatures for every domain, keys that verifiers accept, a full hostname."""

from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from relaygw import keys
from relaygw.cli.checks.finding import Finding, error, warning
from relaygw.config.schema import Config
from relaygw.config.signing import DkimKeyConfig


def check(config: Config) -> Iterator[Finding]:
    if "." not in config.hostname:
        advice = "use a full name that the DNS knows"
        yield warning("hostname", f"{config.hostname} is not a full name: other hosts will refuse it in EHLO", advice)
    for number, key in enumerate(config.dkim, 1):
        yield from _key(f"dkim[{number}].private_key", key)
    signed = {key.domain for key in config.dkim}
    for domain in (*config.domains, *(each for each in config.relay_domains if not each.startswith("."))):
        if domain not in signed:
            yield warning("dkim", f"mail from {domain} will not be signed", f"relaygw dkim generate {domain}")


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
