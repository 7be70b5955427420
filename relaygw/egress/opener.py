"""Opens sessions: connects, begins, and retreats where the policy lets it (HELO for EHLO, in clear for TLS)."""

from collections.abc import Callable, Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from relaygw.core.mx import Target
from relaygw.egress.broken import Broken, Phase
from relaygw.egress.client import Approach, Session, begin
from relaygw.egress.connection import SmtpConnection
from relaygw.egress.connector import connect
from relaygw.egress.hop import Hop, Login, Manners, TlsMode
from relaygw.egress.login import Keyring
from relaygw.egress.racing import Failed, race
from relaygw.egress.resumption import Resumption
from relaygw.rounds import at_once


@attrs.frozen
class Opener:
    """`reactor` provides IReactorTCP and IReactorTime."""

    reactor: Any
    manners: Manners
    keyring: Keyring
    resumption: Resumption = attrs.field(
        default=attrs.Factory(lambda self: Resumption(self.reactor), takes_self=True), kw_only=True
    )
    at_round_end: Callable[[Callable[[], None]], None] = attrs.field(default=at_once, kw_only=True)

    async def open(self, target: Target, hop: Hop) -> Session:
        """A session at this address; raises Broken, with what went wrong last."""
        return await self.open_any([target], hop, lambda target, failure: None)

    async def open_any(self, targets: Sequence[Target], hop: Hop, failed: Failed) -> Session:
        """A session with the host that has these addresses. Each address at which none came about is told to `failed`,
        once; raises Broken, with what went wrong last."""
        if hop.login is not None:
            self._check_login(hop.login, targets, failed)
        target, connection = await race(self.reactor, targets, lambda each: self._connect(each, hop), failed)
        try:
            session = await self._lead(connection, target, hop)
        except Broken as failure:
            if hop.login is not None:
                self.keyring.resting.failed(hop.login, target.host, failure)
            failed(target, failure)
            raise
        if hop.login is not None:
            self.keyring.resting.worked(hop.login, target.host)
        return session

    def _check_login(self, login: Login, targets: Sequence[Target], failed: Failed) -> None:
        """Nobody is connected to for a login that rests."""
        try:
            self.keyring.resting.check(login, targets[0].host)
        except Broken as failure:
            for target in targets:
                failed(target, failure)
            raise

    def _connect(self, target: Target, hop: Hop) -> Deferred[SmtpConnection]:
        source = hop.source_for(target.address)
        return connect(self.reactor, target.address, hop.port, self.manners.connect_timeout, source, self.at_round_end)

    async def _lead(self, connection: SmtpConnection, target: Target, hop: Hop) -> Session:
        approach = Approach(tls=hop.tls)
        while True:
            try:
                return await self._try(connection, target, hop, approach)
            except Broken as failure:
                retreat = _retreat(approach, hop, failure)
                if retreat is None:
                    raise
                approach = retreat
            connection = await self._connect(target, hop)

    async def _try(self, connection: SmtpConnection, target: Target, hop: Hop, approach: Approach) -> Session:
        try:
            return await begin(connection, target, hop, approach, self.manners, self.keyring, self.resumption)
        except Broken as failure:
            failure.source, failure.helo = connection.source, connection.helo
            if failure.phase is Phase.HANDSHAKE:
                connection.abort()  # whoever is at the other end, we have nothing to say to him
            else:
                connection.quit()  # which is an abort where the connection itself is broken
            raise
        except BaseException:
            connection.abort()
            raise


def _retreat(approach: Approach, hop: Hop, failure: Broken) -> Approach | None:
    """A lesser way worth another connection, or None."""
    if failure.resuming:  # some servers fail where they should only decline; that says nothing about their TLS
        return attrs.evolve(approach, resume=False)
    if failure.phase is Phase.HANDSHAKE and approach.tls is TlsMode.MAY and not hop.implicit:
        return attrs.evolve(
            approach, tls=TlsMode.NONE, doubt=failure.result
        )  # RFC 7435: what cannot be protected is still delivered
    needs_ehlo = hop.lmtp or hop.login is not None or approach.tls not in (TlsMode.NONE, TlsMode.MAY)
    if failure.phase is Phase.HELLO and failure.closed and not failure.remote and approach.ehlo and not needs_ehlo:
        return attrs.evolve(approach, ehlo=False)
    return None
