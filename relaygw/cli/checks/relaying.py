"""Whom we would relay for, and what a password could meet on its way to us."""

from collections.abc import Iterator

from relaygw.cli.checks.finding import Finding, error, warning
from relaygw.cli.checks.ports import is_local
from relaygw.config.schema import Config, ListenerConfig, Network
from relaygw.core.session import Role

TOO_WIDE = {4: 8, 6: 16}
"""Prefix lengths below which a network is the world rather than somebody's."""

WIDE = {4: 16, 6: 32}
"""Prefix lengths below which a network of public addresses is more than one organization has."""


def check(config: Config) -> Iterator[Finding]:
    for place, network in enumerate(config.trusted_networks, 1):
        yield from _network(f"trusted_networks[{place}]", network)
    for number, listener in enumerate(config.listeners, 1):
        yield from _listener(f"listener[{number}]", listener)
    console = config.control.console
    if console and not console.startswith("ssl:") and not is_local(console):
        advice = "let it listen on 127.0.0.1, or use an ssl: endpoint"
        yield warning("control.console", "the token would cross the network in clear", advice)


def _network(path: str, network: Network) -> Iterator[Finding]:
    if network.prefixlen < TOO_WIDE[network.version]:
        advice = "name the networks of your own clients; others log in"
        yield error(path, f"{network} makes this an open relay: it will be abused and blocked within hours", advice)
    elif network.is_global and network.prefixlen < WIDE[network.version]:
        message = f"{network} has {_count(network)} public addresses that may send to anywhere without a login"
        yield warning(path, message, "name only those of your own clients")


def _count(network: Network) -> str:
    size = network.num_addresses
    return f"{size:,}" if size < 10**9 else f"2^{size.bit_length() - 1}"


def _listener(path: str, listener: ListenerConfig) -> Iterator[Finding]:
    if listener.auth == "always" and listener.tls != "implicit" and not is_local(listener.endpoint):
        yield warning(f"{path}.auth", "passwords may cross the network in clear", 'set auth = "tls"')
    unusable = listener.protocol == "smtp" and listener.tls == "none" and listener.auth == "tls"
    if unusable and listener.role is Role.SUBMISSION:
        message = "nobody can log in here, as there is no TLS: only trusted networks can send"
        yield warning(f"{path}.auth", message, 'set tls = "starttls"')
