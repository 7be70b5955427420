"""TLS sessions kept for the next connection to the same host under the same policy (RFC 8446 2.2, RFC 5077): a second
handshake without certificates costs both sides a tenth.

A resumed handshake proves what the first one proved and shows nothing anew. So a session is kept only where nothing was
found wrong, is used only where exactly the same is asked for (address, name, policy, authorities), for an hour at most
and never beyond the certificate's time. Each is used once (RFC 8446 C.4). No early data is ever sent.
"""

from collections import OrderedDict
from typing import Any

import attrs
from OpenSSL import SSL

from relaygw.core.mx import Target
from relaygw.egress.hop import Hop, TlsMode
from relaygw.egress.tls import TlsFacts

LIFETIME = 3600.0
"""Seconds a session is kept: a change of trust is noticed after so long."""

MAX_KEYS, MAX_EACH = 2_000, 4

_PROVEN = (TlsMode.VERIFY, TlsMode.FINGERPRINT, TlsMode.DANE)


@attrs.frozen
class Same:
    """What two connections must have in common. `context` knows authorities and our certificate as they were read."""

    host: str
    address: str
    hop: Hop
    context: SSL.Context


class Resumption:
    """Sessions by what they are good for; of several, the latest goes first. `clock` tells POSIX seconds."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._kept: OrderedDict[Same, list[tuple[float, SSL.Session]]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def take(self, target: Target, hop: Hop, context: SSL.Context) -> SSL.Session | None:
        """A session for one handshake, or None."""
        same = Same(target.host, target.address, hop, context)
        kept = self._kept.get(same)
        if kept is None:
            return None
        until, session = kept.pop()
        if not kept:
            del self._kept[same]
        return session if self._clock.seconds() < until else None

    def keep(self, target: Target, hop: Hop, connection: SSL.Connection, facts: TlsFacts) -> None:
        """Keep what the server gave for a next time; with TLS 1.3 it comes after the handshake (RFC 8446 4.6.1), but
        before its first answer inside."""
        session = connection.get_session()
        until = self._until(connection, hop)
        if facts.doubt or session is None or until <= self._clock.seconds():
            return
        same = Same(target.host, target.address, hop, connection.get_context())
        kept = self._kept.setdefault(same, [])
        kept.append((until, session))
        del kept[:-MAX_EACH]
        self._kept.move_to_end(same)
        if len(self._kept) > MAX_KEYS:
            self._kept.popitem(last=False)

    def _until(self, connection: SSL.Connection, hop: Hop) -> float:
        now = float(self._clock.seconds())
        certificate = connection.get_peer_certificate(as_cryptography=True) if hop.tls in _PROVEN else None
        if certificate is None:
            return now + LIFETIME
        return min(now + LIFETIME, certificate.not_valid_after_utc.timestamp())
