"""Opens sessions: connects, begins, and retreats where the policy lets it (HELO for EHLO, in clear for TLS)."""

from typing import Any

import attrs

from relaygw.core.mx import Target
from relaygw.egress.broken import Broken, Phase
from relaygw.egress.client import Approach, Session, begin
from relaygw.egress.connector import connect
from relaygw.egress.hop import Hop, Manners, TlsMode


@attrs.frozen
class Opener:
    """`reactor` provides IReactorTCP and IReactorTime."""

    reactor: Any
    manners: Manners

    async def open(self, target: Target, hop: Hop) -> Session:
        """A session at this address; raises Broken, with what went wrong last."""
        approach = Approach(tls=hop.tls)
        while True:
            try:
                return await self._try(target, hop, approach)
            except Broken as failure:
                retreat = _retreat(approach, hop, failure)
                if retreat is None:
                    raise
                approach = retreat

    async def _try(self, target: Target, hop: Hop, approach: Approach) -> Session:
        connection = await connect(self.reactor, target.address, hop.port, self.manners.connect_timeout)
        try:
            return await begin(connection, target, hop, approach, self.manners)
        except Broken as failure:
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
    if failure.phase is Phase.HANDSHAKE and approach.tls is TlsMode.MAY and not hop.implicit:
        return attrs.evolve(approach, tls=TlsMode.NONE)  # RFC 7435: what cannot be protected is still delivered
    needs_ehlo = hop.lmtp or hop.login is not None or approach.tls in (TlsMode.ENCRYPT, TlsMode.VERIFY)
    if failure.phase is Phase.HELLO and failure.closed and not failure.remote and approach.ehlo and not needs_ehlo:
        return attrs.evolve(approach, ehlo=False)
    return None
