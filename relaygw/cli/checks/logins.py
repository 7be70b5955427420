"""Logins: mechanisms that wait for something, and client certificates that nobody asks for."""

from collections.abc import Iterator

from relaygw.cli.checks.finding import Finding, warning
from relaygw.config.schema import Config
from relaygw.core.scram import NAME
from relaygw.tables.userfile import UsersError, read_users


def check(config: Config) -> Iterator[Finding]:
    yield from _keys(config)
    asked = any(each.client_certificates != "none" for each in config.listeners)
    if config.directory.certificates and not asked:
        advice = 'set client_certificates = "request" in a [[listener]]'
        yield warning("directory.certificates", "no listener asks for client certificates", advice)
    if not config.bans.enabled:
        yield warning("bans.enabled", "passwords may be guessed for ever, slowly", "set it to true")


def _keys(config: Config) -> Iterator[Finding]:
    """Clients that see SCRAM try nothing else: it is offered when it works for everybody."""
    if config.directory.kind != "file" or not config.directory.users:
        return
    try:
        users = read_users(config.directory.users)
    except (OSError, UsersError):
        return  # told where the parts are made
    without = [user.name for user in users if user.password and user.scram is None]
    if without:
        shown = ", ".join(without[:5]) + (", …" if len(without) > 5 else "")
        message = f"{NAME} is not offered to anybody: {len(without)} users have no keys for it ({shown})"
        yield warning("directory.users", message, "relaygw user passwd NAME makes them")
