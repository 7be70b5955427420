"""A door per listener: the port stays open while what answers behind it is made anew from another configuration.

Sessions go on with what they began with; new ones get the new. Knows the three protocols' factories, and nothing of
what they do.
"""

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IAddress, ILoggingContext
from twisted.internet.protocol import Protocol, ServerFactory
from zope.interface import implementer

from relaygw.bridge import as_deferred
from relaygw.config.schema import ListenerConfig
from relaygw.core.content import Content
from relaygw.core.record import Record
from relaygw.core.session import Role
from relaygw.gateway.parts import Parts, fresh_id
from relaygw.ingress.factory import IngressFactory
from relaygw.ingress.house import House
from relaygw.interfaces import Account, IAccount, ISpool
from relaygw.mailbox.imap.factory import ImapFactory
from relaygw.mailbox.pop3_factory import Pop3Factory
from relaygw.sasl import Authenticator


@attrs.frozen(kw_only=True)
class Behind:
    """Where accepted mail goes. `lease` in seconds; `offer` takes a committed message."""

    spool: ISpool
    offer: Callable[[Record, Content], None]
    lease: float
    write_event: Callable[[Any], None]


@implementer(ILoggingContext)
class Door(ServerFactory):
    """What a listener's port is given. `open` puts a new factory behind it."""

    noisy = False

    def __init__(self, listener: ListenerConfig) -> None:
        self.listener = listener
        self._rooms: list[Any] = []
        self._entrance: Any = None

    def logPrefix(self) -> str:
        """What Twisted calls the port in the log of the process."""
        return self.listener.name

    def open(self, parts: Parts, behind: Behind) -> None:
        """From now on clients get what these parts make."""
        config = next(each for each in parts.config.listeners if each.name == self.listener.name)
        room = make_factory(config, parts, behind)
        self._rooms = [old for old in self._rooms if old.connections] + [room]
        self._entrance = _entrance(room, config, parts)

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        protocol: Protocol | None = self._entrance.buildProtocol(addr)
        return protocol

    def drain(self, seconds: float) -> Deferred[Any]:
        """End all sessions, those at work within this time."""
        return DeferredList([_end(room, seconds) for room in self._rooms])


def _entrance(room: Any, config: ListenerConfig, parts: Parts) -> Any:
    if config.tls != "implicit":
        return room
    assert parts.tls is not None, "the configuration was checked for a certificate"
    return parts.tls.wrap(room, parts.services.reactor)


def _end(room: Any, seconds: float) -> Deferred[Any]:
    if isinstance(room, IngressFactory):
        return room.drain(seconds)
    return as_deferred(room.stop())


def make_factory(config: ListenerConfig, parts: Parts, behind: Behind) -> IngressFactory | Pop3Factory | ImapFactory:
    """The protocol factory of a listener, without the TLS around it."""
    if config.protocol in ("smtp", "lmtp"):
        return IngressFactory(_house(config, parts, behind), config)
    settings = parts.config
    shared: dict[str, Any] = {
        "portal": parts.portal,
        "store": parts.services.store,
        "tls": parts.tls,
        "clock": parts.services.reactor,
        "journal": behind.write_event,
        "mailbox": settings.mailbox,
        "listener": config,
    }
    if config.protocol == "pop3":
        return Pop3Factory(**shared, hostname=settings.hostname)
    return ImapFactory(**shared, max_append=settings.limits.message_size)


def _house(config: ListenerConfig, parts: Parts, behind: Behind) -> House:
    settings, clock = parts.config, parts.services.reactor
    auth = config.auth or ("never" if config.role is Role.MX else "tls")
    return House(
        hostname=settings.hostname,
        listener=config.name,
        role=config.role,
        limits=settings.limits,
        permission=parts.permission,
        postmaster=parts.postmaster,
        directory=parts.directory,
        chain=parts.chain,
        spool=behind.spool,
        journal=parts.chain.telling(config.name, config.role),
        offer=behind.offer,
        new_id=lambda: fresh_id(clock.seconds()),
        now=clock.seconds,
        clock=clock,
        lease=behind.lease,
        tls=parts.tls if config.tls != "none" else None,
        implicit_tls=config.tls == "implicit",
        authenticator=_authenticator(parts, behind) if auth != "never" else None,
        auth_in_clear=auth == "always",
    )


def _authenticator(parts: Parts, behind: Behind) -> Authenticator:
    return Authenticator(
        portal=parts.portal,
        clock=parts.services.reactor,
        journal=behind.write_event,
        interface=IAccount,
        login_of=lambda avatar, typed: avatar.name if isinstance(avatar, Account) else typed,
        attempts=parts.config.limits.auth_attempts,
    )
