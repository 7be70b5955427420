"""The arguments of `relaygw init`, judged: all that is wrong with them is told at once. Touches no file."""

import ipaddress
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from relaygw.cli.answer import UsageError
from relaygw.cli.password import ask_password
from relaygw.cli.workdir import CONSOLE_PORT, STANDARD_PORTS, Plan
from relaygw.core.address import normalize_domain
from relaygw.tables.userfile import canonical_name, credentials_of

HIGHEST_OFFSET = 65535 - CONSOLE_PORT

T = TypeVar("T")


def make_plan(
    folder: Path,
    *,
    domains: Sequence[str],
    hostname: str,
    users: Sequence[str],
    smarthost: str,
    trusted: Sequence[str],
    offset: int,
) -> tuple[Plan, Mapping[str, str]]:
    """The plan, and the password hash of each user; raises UsageError. Empty texts stand for what was not given."""
    faults: list[str] = []
    local = _read("--domain", domains, domain, faults)
    own = _read("--hostname", [hostname or default_hostname(local)], domain, faults)
    networks = _read("--trust", trusted, network, faults)
    relays = _read("--smarthost", [smarthost] if smarthost else [], host_and_port, faults)
    accounts = _read("--user", users, user, faults)
    if len(dict(accounts)) < len(accounts):
        faults.append("--user: a name is given twice")
    if not 0 <= offset <= HIGHEST_OFFSET:
        faults.append(f"--port-offset: found {offset}; allowed is 0 to {HIGHEST_OFFSET}")
    if faults:
        raise UsageError("nothing was written:\n  " + "\n  ".join(faults))
    plan = Plan(
        path=str(folder / "relaygw.toml"),
        hostname=own[0],
        domains=tuple(dict.fromkeys(local)),
        trusted=tuple(dict.fromkeys(networks)),
        endpoints={name: endpoint(port, offset) for name, port in STANDARD_PORTS.items()},
        console=console(folder, offset),
        smarthost=relays[0] if relays else None,
        postmaster=f"{accounts[0][0] if accounts else 'postmaster'}@{local[0]}",
    )
    return plan, dict(accounts)


def _read(option: str, texts: Sequence[str], read: Callable[[str], T], faults: list[str]) -> list[T]:
    """What can be read of the texts; a fault for each of the others."""
    good = []
    for text in texts:
        try:
            good.append(read(text))
        except ValueError as error:
            # Never the text of a user: it holds the password.
            shown = f' "{text}"' if read is not user else ""
            faults.append(f"{option}{shown}: {error}")
    return good


def domain(text: str) -> str:
    normal = normalize_domain(text.removesuffix("."))
    if normal.startswith("["):
        raise ValueError("an address literal is no domain")
    return normal


def network(text: str) -> str:
    """As it was written: the file shall say what the operator said."""
    ipaddress.ip_network(text)
    return text


def host_and_port(text: str) -> tuple[str, int]:
    """HOST:PORT; the host is a name, an IPv4 address, or an IPv6 address in brackets."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError("HOST:PORT is wanted, such as smtp.example.com:587 or [2001:db8::1]:25")
    if host.startswith("[") and host.endswith("]"):
        return str(ipaddress.IPv6Address(host[1:-1])), int(port)
    return domain(host), int(port)


def user(text: str) -> tuple[str, str]:
    """The name and the credentials that the password makes; a password that is not there is asked for."""
    name, colon, password = text.partition(":")
    name = canonical_name(name)
    return name, credentials_of(password if colon else ask_password(name))


def default_hostname(domains: Sequence[str]) -> str:
    """The machine's own name where it is a full one; asking the DNS for it could take long."""
    name = socket.gethostname()
    if "." in name or not domains:
        return name
    return f"mail.{domains[0]}"


def endpoint(port: int, offset: int) -> str:
    """On loopback where the offset says that this is a trial; else on all addresses."""
    if offset:
        return f"tcp:{port + offset}:interface=127.0.0.1"
    # An IPv6 socket takes IPv4 connections too; both at once would be in each other's way.
    return f"tcp6:{port}" if _has_ipv6() else f"tcp:{port}"


def console(folder: Path, offset: int) -> str:
    """The console's token must not cross a network in clear: on all addresses it gets TLS."""
    plain = endpoint(CONSOLE_PORT, offset)
    if offset:
        return plain
    files = {name: os.path.abspath(folder / f"tls/{name}.pem") for name in ("private_key", "certificate")}
    escaped = {name: path.replace("\\", "\\\\").replace(":", "\\:") for name, path in files.items()}
    interface = ":interface=\\:\\:" if plain.startswith("tcp6") else ""
    return f"ssl:{CONSOLE_PORT}:privateKey={escaped['private_key']}:certKey={escaped['certificate']}{interface}"


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::", 0))
    except OSError:
        return False
    return True
