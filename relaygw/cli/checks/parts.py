"""The parts of the service: made as at a start, and thrown away. What the start would refuse is found here, and what
needs the parts to be judged: routes' parameters, a postmaster who is somebody.
"""

from collections.abc import Iterator
from typing import Any

from twisted.python.threadpool import ThreadPool

from relaygw.bans import BanBook, policy_of
from relaygw.bridge import resolve
from relaygw.cli.checks.finding import Finding, error, warning
from relaygw.cli.direct import run_now
from relaygw.config.paths import mail_directory
from relaygw.config.schema import Config
from relaygw.core.address import Address
from relaygw.gateway.parts import Lasting, Parts, PartsError, make_parts
from relaygw.mailbox.store import Store
from relaygw.rounds import Rounds


def check(config: Config) -> Iterator[Finding]:
    from twisted.internet import reactor

    try:
        parts = make_parts(config, _lasting(config, reactor))
    except PartsError as failure:
        yield from (error("", problem) for problem in failure.problems)
        return
    try:
        yield from _postmaster(config, parts)
    finally:
        parts.signer.stop()


def _lasting(config: Config, reactor: Any) -> Lasting:
    """Nothing is written, started or run for a check."""
    store = Store(mail_directory(config), reactor, ThreadPool(minthreads=0, maxthreads=1))
    bans = BanBook("", policy_of(config), reactor, lambda _: None)
    return Lasting(
        reactor=reactor,
        rounds=Rounds(reactor),
        write_event=lambda _: None,
        spawn=lambda _name, _task: None,
        store=store,
        bans=bans,
        secret=lambda: b"",
    )


def _postmaster(config: Config, parts: Parts) -> Iterator[Finding]:
    """RFC 5321 4.5.1: every domain that has mailboxes has a postmaster."""
    told = set()
    for domain in config.domains:
        account = run_now(resolve(parts.directory.account(Address("postmaster", domain))))
        if account is None and not _alias(parts, Address("postmaster", domain)):
            told.add(Address("postmaster", domain))
            advice = "add a user, and give postmaster as one of their addresses: relaygw user add NAME"
            yield error("postmaster", f"nobody would get mail for postmaster@{domain} (RFC 5321 4.5.1)", advice)
    address = parts.postmaster
    if (
        address not in told
        and address.domain in config.domains
        and run_now(resolve(parts.directory.account(address))) is None
        and not _alias(parts, address)
    ):
        yield warning("postmaster", f"there is no mailbox for {address}", "name the address of a user")


def _alias(parts: Parts, address: Address) -> bool:
    """Whether the address leads somewhere as an alias."""
    return parts.aliases is not None and bool(parts.aliases.expand_now(address).steps)
