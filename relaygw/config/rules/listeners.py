"""What must hold of listeners and of the TLS they offer."""

import re
from collections.abc import Callable, Iterator

import attrs

from relaygw.config.problem import Fault, repeated
from relaygw.config.schema import Config, ListenerConfig

_USUAL = re.compile(r"tcp6?:(?:port=)?[0-9]{1,5}(?::interface=[0-9A-Za-z.-]+)?\Z")
"""Endpoints of which Twisted need not be asked: to load what it asks takes as long as all else that a command does."""


def listener_names(config: Config) -> Iterator[Fault]:
    if not config.listeners:
        yield ("listener",), "there is no [[listener]]: nothing could connect", ""
    for place, before in repeated(listener.name for listener in config.listeners):
        name = config.listeners[place].name
        yield ("listener", place, "name"), f'"{name}" is already the name of listener[{before + 1}]', ""
    for place, before in repeated(listener.endpoint for listener in config.listeners):
        yield ("listener", place, "endpoint"), f"listener[{before + 1}] has the same endpoint", ""


def listeners(config: Config) -> Iterator[Fault]:
    for place, listener in enumerate(config.listeners):
        for key, message, hint in _listener(listener):
            yield ("listener", place, key), message, hint


def _listener(listener: ListenerConfig) -> Iterator[tuple[str, str, str]]:
    prefix = listener.endpoint.partition(":")[0]
    if prefix in ("ssl", "tls", "txsan", "le", "lets"):
        yield "endpoint", f'"{prefix}:" brings TLS of its own', 'write "tcp:…" and tls = "implicit"'
    elif fault := endpoint_fault(listener.endpoint):
        yield "endpoint", f'"{listener.endpoint}" is not a server endpoint: {fault}', "such as tcp:25 or tcp6:25"
    if listener.trust_socket and prefix != "unix":
        yield (
            "trust_socket",
            f'found true, but "{listener.endpoint}" is no UNIX socket',
            'such as "unix:/path:mode=660"',
        )
    if listener.proxy_from and prefix == "unix":
        yield "proxy_from", "whoever connects to a UNIX socket has no address to be known by", ""
    if listener.protocol in ("smtp", "lmtp"):
        yield from _profile(listener)
        return
    for key in ("networks", "greeting_delay", "line_ends", "tls_minimum_version"):
        default = getattr(attrs.fields(ListenerConfig), key).default
        if getattr(listener, key) != default and not (key == "line_ends" and listener.line_ends == "reject"):
            yield key, f"this option is for SMTP, and the listener speaks {listener.protocol}", ""
    if listener.profile == "legacy":
        yield "profile", f'"legacy" is for SMTP, and the listener speaks {listener.protocol}', ""
    if listener.auth == "never":
        yield (
            "auth",
            f'found "never", but {listener.protocol} is nothing without a login',
            'allowed are "tls", "always"',
        )
    if listener.tls == "none" and listener.auth == "tls":
        yield "auth", 'nobody could log in: logins wait for TLS and tls is "none"', 'set auth = "always" or offer TLS'


def _profile(listener: ListenerConfig) -> Iterator[tuple[str, str, str]]:
    """What is lax is for named networks only."""
    if listener.profile == "legacy" and not listener.networks:
        yield "networks", 'this option must be given: the profile "legacy" is for named networks only', ""
    if listener.profile != "legacy" and listener.line_ends == "repair":
        hint = 'write "normalize", or profile = "legacy" with its networks'
        yield "line_ends", '"repair" lets mail be smuggled past others: it is for the profile "legacy" only', hint


def endpoint_fault(endpoint: str) -> str:
    """What Twisted says against the endpoint; "" when it takes it. Some name what is not there before the start."""
    prefix, colon, _ = endpoint.partition(":")
    if not colon:
        return "there is no colon in it"
    if prefix in ("systemd", "fd", "ssl") or _USUAL.match(endpoint):
        return ""
    from twisted.internet import endpoints

    read: Callable[[object, str], object] = endpoints.serverFromString
    try:
        read(object(), endpoint)
    except (ValueError, TypeError, KeyError, IndexError) as error:
        return str(error.args[0]) if error.args else type(error).__name__
    return ""


def tls(config: Config) -> Iterator[Fault]:
    given = (config.tls.certificate, config.tls.private_key)
    if any(given) and not all(given):
        key = "certificate" if config.tls.private_key else "private_key"
        yield ("tls", key), "certificate and private_key are given together or not at all", ""
    wanting = [(place, each) for place, each in enumerate(config.listeners) if each.tls != "none"]
    if wanting and not any(given):
        place, listener = wanting[0]
        message = f'"{listener.tls}" needs a certificate, and [tls] names none'
        yield ("listener", place, "tls"), message, 'set tls.certificate and tls.private_key, or tls = "none"'
    if config.tls.certificates and not any(given):
        yield ("tls", "certificate"), "this option must be given: certificates has only further ones", ""
    for place, each in enumerate(config.listeners):
        if each.tls == "none" and each.client_certificates != "none":
            yield ("listener", place, "client_certificates"), 'there are none without TLS, and tls is "none"', ""
