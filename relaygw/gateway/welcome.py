"""What the service says when it is up: what listens where, which domains are local, which keys sign, and a first
message to try. A few lines for a person; machines read the journal.
"""

import os
import shutil
import sys
from collections.abc import Iterator, Sequence

from twisted.logger import Logger

from relaygw import __version__
from relaygw.config.schema import Config, ListenerConfig
from relaygw.core.session import Role

_log = Logger(namespace="relaygw")
_PORTS = {"smtp": 25, "pop3": 110, "imap": 143}


def welcome(config: Config) -> None:
    """Write it to the log of the process, as one entry."""
    _log.info("{text}", text="\n".join(lines(config)))


def tell_reread(problems: Sequence[str], waiting: Sequence[str]) -> None:
    """Tell what became of reading the configuration again: at a signal nobody else answers."""
    if problems:
        _log.error("the configuration was not taken, nothing changed:\n{text}", text="\n".join(problems))
    elif waiting:
        _log.warn("the new configuration is in use; a restart is needed for: {text}", text=", ".join(waiting))
    else:
        _log.info("the new configuration is in use")


def lines(config: Config) -> Iterator[str]:
    """The text, a line at a time."""
    yield f"relaygw {__version__} is ready as {config.hostname}"
    for listener in config.listeners:
        yield f"  {_what(listener):24} {listener.endpoint}  ({_tls(listener)})"
    yield f"  local domains: {', '.join(config.domains) or 'none'}"
    if config.relay_domains:
        yield f"  relayed domains: {', '.join(config.relay_domains)}"
    if config.trusted_networks:
        yield f"  may relay without a login: {', '.join(map(str, config.trusted_networks))}"
    keys = ", ".join(f"{key.selector}._domainkey.{key.domain}" for key in config.dkim)
    yield f"  signing keys: {keys or 'none'}"
    if config.control.console:
        yield f"  console: {config.control.console}"
    yield from _first_message(config)


def _what(listener: ListenerConfig) -> str:
    kind = listener.role.value if listener.protocol == "smtp" else listener.protocol
    return f"{listener.name} ({kind})" if listener.name != kind else kind


def _tls(listener: ListenerConfig) -> str:
    return {"none": "no TLS", "starttls": "STARTTLS", "implicit": "TLS"}[listener.tls]


def _first_message(config: Config) -> Iterator[str]:
    """A command that works as printed, where there is a listener and somebody to write to."""
    place = next((_place(each) for each in config.listeners if each.role is Role.MX and each.protocol == "smtp"), "")
    if place and config.domains:
        address = f"postmaster@{config.domains[0]}"
        yield "  send a first message:"
        yield (
            f"    printf 'Subject: hello\\r\\n\\r\\nIt works.\\r\\n' | curl -sk --mail-from '<>' --mail-rcpt {address} "
            f"--upload-file - smtp://{place}"
        )
        yield f"    {_command()} --config {config.path} trace {address}"


def _command() -> str:
    """How to call our own command line from here."""
    beside = os.path.join(os.path.dirname(sys.executable), "relaygw")
    return "relaygw" if shutil.which("relaygw") or not os.path.exists(beside) else beside


def _place(listener: ListenerConfig) -> str:
    """host:port of a TCP endpoint string, "" for another kind."""
    kind, _, rest = listener.endpoint.partition(":")
    if kind == "tcp6" and "interface=" not in rest:
        kind = "tcp"  # on all addresses, those of IPv4 too
    if kind not in ("tcp", "tcp4"):
        return ""
    port, *options = rest.split(":")
    named = dict(option.split("=", 1) for option in options if "=" in option)
    host = named.get("interface", "127.0.0.1")
    return f"{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"  # noqa: S104
