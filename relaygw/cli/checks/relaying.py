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
        yield from _line_ends(f"listener[{number}]", listener)
        yield from _believed(f"listener[{number}]", listener)
        if listener.profile == "legacy":
            yield from _legacy(f"listener[{number}]", listener, config)
    yield from _quotas(config)
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


def _legacy(path: str, listener: ListenerConfig, config: Config) -> Iterator[Finding]:
    """Everything that is lax about a legacy listener is said, each time: it is meant to go away."""
    where = ", ".join(map(str, listener.networks))
    yield warning(
        f"{path}.profile",
        f"LEGACY: {listener.name} takes bare LF and {_tls_of(listener)} from {where}",
        "the journal's old_client events name who still needs it; close it when nobody does",
    )
    if not any(listener.name in use.listeners for use in config.rewriters):
        message = "devices' own From addresses go out as they are, and others will refuse many of them"
        yield warning(path, message, 'add a [[rewriter]] with use = "from-address" for this listener')
    for network in listener.networks:
        if network.is_global or network.prefixlen < TOO_WIDE[network.version]:
            advice = "name the private networks of the devices"
            yield warning(f"{path}.networks", f"{network} is not private: strangers may smuggle mail here", advice)


def _tls_of(listener: ListenerConfig) -> str:
    return "no TLS" if listener.tls == "none" else f"{listener.tls_minimum_version} (broken, RFC 8996)"


def _line_ends(path: str, listener: ListenerConfig) -> Iterator[Finding]:
    if listener.line_ends == "normalize" and not listener.networks:
        message = "bare LF is taken from everybody; only CRLF.CRLF ends a message, but others may read it otherwise"
        yield warning(f"{path}.line_ends", message, 'set it to "reject", or name networks')


def _believed(path: str, listener: ListenerConfig) -> Iterator[Finding]:
    """Who is taken at their word about whom they are."""
    for network in listener.proxy_from:
        if network.is_global and network.prefixlen < WIDE[network.version]:
            message = f"whoever is in {network} may claim any address, that of a trusted client too"
            yield error(f"{path}.proxy_from", message, "name the load balancers alone")
    if listener.trust_socket and ":mode=" not in listener.endpoint:
        message = "every user of this machine may relay: the socket's file is open to all"
        yield warning(f"{path}.trust_socket", message, 'add ":mode=660" to the endpoint')


def _quotas(config: Config) -> Iterator[Finding]:
    for place, quota in enumerate(config.quotas, 1):
        if not any(getattr(quota, f"{what}_per_{span}") for what in _COUNTED for span in ("hour", "day")):
            yield warning(f"quota[{place}]", f"{quota.name} limits nothing", "set messages_per_hour or another limit")


_COUNTED = ("messages", "recipients", "bytes")


def _listener(path: str, listener: ListenerConfig) -> Iterator[Finding]:
    if listener.auth == "always" and listener.tls != "implicit" and not is_local(listener.endpoint):
        yield warning(f"{path}.auth", "passwords may cross the network in clear", 'set auth = "tls"')
    unusable = listener.protocol == "smtp" and listener.tls == "none" and listener.auth == "tls"
    if unusable and listener.role is Role.SUBMISSION:
        message = "nobody can log in here, as there is no TLS: only trusted networks can send"
        yield warning(f"{path}.auth", message, 'set tls = "starttls"')
