"""A door per listener: the port stays open while what answers behind it is made anew from another configuration.

Sessions go on with what they began with; new ones get the new. Knows the three protocols' factories, and nothing of
what they do.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import attrs
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IAddress, ILoggingContext
from twisted.internet.protocol import Protocol, ServerFactory
from zope.interface import implementer

from relaygw.bridge import as_deferred
from relaygw.config.schema import ListenerConfig, Network
from relaygw.core.certificates import CertificateLogin, login_of
from relaygw.core.content import Content
from relaygw.core.events import Refused
from relaygw.core.quota import Ledger
from relaygw.core.record import Record
from relaygw.core.session import Role
from relaygw.gateway.parts import Parts, fresh_id
from relaygw.gateway.proxied import Hall, may_speak_for_others
from relaygw.holds import HoldBook
from relaygw.ingress.binding import Binding
from relaygw.ingress.crowd import Crowd
from relaygw.ingress.factory import IngressFactory
from relaygw.ingress.house import House, RewriterUse
from relaygw.ingress.inventory import Inventory
from relaygw.ingress.pressure import Pressure
from relaygw.ingress.quotas import Office, Quotas
from relaygw.interfaces import IScramDirectory, ISpool
from relaygw.mailbox.imap.factory import ImapFactory
from relaygw.mailbox.pop3_factory import Pop3Factory
from relaygw.sasl import Authenticator


@attrs.frozen(kw_only=True)
class Behind:
    """Where accepted mail goes. `lease` in seconds; `offer` takes a committed message; `at_round_end` as in House."""

    spool: ISpool
    offer: Callable[[Record, Content], None]
    lease: float
    at_round_end: Callable[[Callable[[], None]], None]
    write_event: Callable[[Any], None]
    spawn: Callable[[str, Awaitable[Any]], None]
    pressure: Pressure
    ledger: Ledger
    holds: HoldBook


@implementer(ILoggingContext)
class Door(ServerFactory):
    """What a listener's port is given. `open` puts a new factory behind it."""

    noisy = False

    def __init__(self, listener: ListenerConfig) -> None:
        self.listener = listener
        self._rooms: list[Any] = []
        self._entrance: Any = None
        self._crowd = Crowd()
        self._proxies: Sequence[Network] = ()
        self._behind: Behind | None = None
        self._clock: Any = None
        self._halls: set[Hall] = set()

    def logPrefix(self) -> str:
        """What Twisted calls the port in the log of the process."""
        return self.listener.name

    def open(self, parts: Parts, behind: Behind) -> None:
        """From now on clients get what these parts make."""
        config = next(each for each in parts.config.listeners if each.name == self.listener.name)
        room = make_factory(config, parts, behind, self._crowd)
        self._rooms = [old for old in self._rooms if old.connections] + [room]
        self._entrance = _entrance(room, config, parts)
        self._proxies = config.proxy_from
        self._behind, self._clock = behind, parts.services.reactor

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        if not self._proxies:
            return self._session(addr)
        if not may_speak_for_others(addr, self._proxies):
            self._refused(addr, "not from an address in proxy_from")
            return None
        hall = Hall(self._clock, addr, self._session, self._halls.discard, partial(self._refused, addr))
        self._halls.add(hall)
        return hall

    def _session(self, addr: IAddress | None) -> Protocol | None:
        protocol: Protocol | None = self._entrance.buildProtocol(addr)
        return protocol

    def _refused(self, addr: IAddress | None, reason: str) -> None:
        """No client is known yet, and nothing is said to whoever this is."""
        if self._behind is not None:
            where = f"{self.listener.name}: {getattr(addr, 'host', 'a UNIX socket')}"
            self._behind.write_event(Refused(command="connect", reply="", reason=f"{where}: {reason}"))

    def drain(self, seconds: float) -> Deferred[Any]:
        """End all sessions, those at work within this time."""
        for hall in tuple(self._halls):
            hall.cut()
        return DeferredList([_end(room, seconds) for room in self._rooms])


def _entrance(room: Any, config: ListenerConfig, parts: Parts) -> Any:
    if config.tls != "implicit":
        return room
    return parts.tls[config.name].wrap(room, parts.services.reactor)


def _end(room: Any, seconds: float) -> Deferred[Any]:
    if isinstance(room, IngressFactory):
        return room.drain(seconds)
    return as_deferred(room.stop())


def make_factory(
    config: ListenerConfig, parts: Parts, behind: Behind, crowd: Crowd | None = None
) -> IngressFactory | Pop3Factory | ImapFactory:
    """The protocol factory of a listener, without the TLS around it. `crowd` counts an SMTP listener's connections."""
    if config.protocol in ("smtp", "lmtp"):
        return IngressFactory(_house(config, parts, behind), config, crowd)
    settings = parts.config
    shared: dict[str, Any] = {
        "authenticator": _authenticator(parts, behind, parts.config.mailbox.login_attempts),
        "store": parts.services.store,
        "tls": parts.tls.get(config.name),
        "clock": parts.services.reactor,
        "journal": behind.write_event,
        "mailbox": settings.mailbox,
        "listener": config,
        "shut": parts.bans.shut,
    }
    if config.protocol == "pop3":
        return Pop3Factory(**shared, hostname=settings.hostname)
    return ImapFactory(**shared, max_append=settings.limits.message_size)


def _house(config: ListenerConfig, parts: Parts, behind: Behind) -> House:
    settings, clock = parts.config, parts.services.reactor
    auth = config.auth or ("never" if config.role is Role.MX else "tls")
    legacy = config.profile == "legacy"
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
        at_round_end=behind.at_round_end,
        tls=parts.tls.get(config.name),
        implicit_tls=config.tls == "implicit",
        authenticator=_authenticator(parts, behind, settings.limits.auth_attempts) if auth != "never" else None,
        auth_in_clear=auth == "always",
        shut=parts.bans.shut,
        greeting_delay=config.greeting_delay,
        line_ends=config.line_ends or "reject",
        adds_fields=legacy,
        rewriters=tuple(RewriterUse(use.name, each) for use, each in parts.rewriters if config.name in use.listeners),
        wants_quarantined=parts.routing.wants,
        aliases=parts.aliases,
        binding=_binding(parts),
        quotas=_quotas(parts, behind),
        holds=behind.holds,
        pressure=behind.pressure,
        inventory=Inventory(behind.write_event, clock.seconds) if legacy else None,
    )


def _binding(parts: Parts) -> Binding | None:
    settings = parts.config.submission
    if settings.sender_binding == "off":
        return None
    return Binding(
        directory=parts.directory,
        permission=parts.permission,
        header=settings.sender_binding == "both",
        exempt_trusted=settings.exempt_trusted,
        table=settings.senders,
    )


def _quotas(parts: Parts, behind: Behind) -> Quotas | None:
    clock = parts.services.reactor
    if not parts.config.quotas:
        return None
    office = Office(
        hostname=parts.config.hostname,
        postmaster=parts.postmaster,
        directory=parts.directory,
        spool=behind.spool,
        offer=behind.offer,
        lease=behind.lease,
        new_id=lambda: fresh_id(clock.seconds()),
        journal=behind.write_event,
        spawn=behind.spawn,
        **({"lead": parts.aliases.leads_to} if parts.aliases is not None else {}),
    )
    return Quotas(parts.config.quotas, behind.ledger, office, clock.seconds)


def _authenticator(parts: Parts, behind: Behind, attempts: int) -> Authenticator:
    """One directory, one realm and one list of bans, whatever a listener speaks."""
    directory: Any = parts.directory
    scram = IScramDirectory.providedBy(directory)
    table = tuple(
        CertificateLogin(login=each.login, fingerprint=each.fingerprint, subject=each.subject)
        for each in parts.config.directory.certificates
    )
    return Authenticator(
        portal=parts.portal,
        clock=parts.services.reactor,
        journal=behind.write_event,
        attempts=attempts,
        keys=directory.scram_keys if scram else None,
        rounds=directory.scram_rounds if scram else lambda: (),
        secret=parts.secret,
        certificate_login=partial(login_of, table) if table else None,
        guard=parts.bans,
    )
