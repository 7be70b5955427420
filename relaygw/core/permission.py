"""Who may relay: the one place that says so (contract 3).

Four ways lead in, and no other: the recipient's domain is local, it is a relay domain, the session has logged in, or
the client is trusted: in a network that is, or on a UNIX socket that its listener trusts by name. Whether the mail is
*wanted* is asked elsewhere and grants nothing here.

An address that carries a route inside its local part (`user%other@ours`, `other!user@ours`, `"user@other"@ours`) is
never taken from strangers, not even for our domains: whoever stands behind us may still read it as a route. A source
route was dropped by the grammar, and an address literal is nobody's domain.
"""

import enum
import ipaddress
from collections.abc import Iterable

import attrs

from relaygw.core.address import Address, normalize_domain
from relaygw.core.reply import Reply
from relaygw.core.session import Role, Session

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_ROUTING = "@%!"

RELAYING_DENIED = Reply(550, "5.7.1", "Relaying denied")
LOGIN_WANTED = Reply(530, "5.7.0", "Authentication required")


_MAX_KNOWN = 4096
"""Clients that are remembered with the answer."""


class Destination(enum.Enum):
    """Whose the recipient is, for those who may send to it."""

    LOCAL = "local"
    RELAY = "relay"
    ELSEWHERE = "elsewhere"


@attrs.frozen
class Domains:
    """A set of domains; ".example.com" stands for every domain below example.com."""

    exact: frozenset[str] = frozenset()
    suffixes: tuple[str, ...] = ()

    def __contains__(self, domain: str) -> bool:
        return domain in self.exact or (bool(self.suffixes) and domain.endswith(self.suffixes))


def domains_of(names: Iterable[str]) -> Domains:
    """The set of these domains, in any case or as U-labels; raises AddressError for what is none."""
    listed = tuple(names)
    return Domains(
        frozenset(normalize_domain(name) for name in listed if not name.startswith(".")),
        tuple("." + normalize_domain(name[1:]) for name in listed if name.startswith(".")),
    )


@attrs.frozen(kw_only=True)
class Permission:
    """The configuration's part of the question."""

    local: Domains
    relay: Domains = Domains()
    trusted: tuple[Network, ...] = ()
    _known: dict[str, bool] = attrs.field(factory=dict, init=False, eq=False, repr=False)

    def trusts(self, client: str, socket: bool = False) -> bool:
        """Whether this client may relay without a login; `client` is an IP address, "" on a UNIX socket, and `socket`
        tells whether the listener's is trusted: its file lets in whom it should."""
        if not client:
            return socket
        if not self.trusted:
            return False
        found = self._known.get(client)  # the same clients come again and again
        if found is None:
            address = ipaddress.ip_address(client)
            found = any(address in network for network in self.trusted)
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known[client] = found
        return found

    def begin(self, session: Session) -> Reply | None:
        """Whether a session may send at all: the refusal, or None. Submission is for those we know (RFC 6409 4.3)."""
        if session.role is Role.SUBMISSION and not _known(session):
            return LOGIN_WANTED
        return None

    def relay_to(self, session: Session, recipient: Address) -> Destination | Reply:
        """Whether a session may send to this recipient: where it goes, or the refusal."""
        destination = self.destination(recipient)
        if _known(session):
            return destination
        if session.role is Role.SUBMISSION:
            return LOGIN_WANTED
        if destination is Destination.ELSEWHERE or any(sign in recipient.local for sign in _ROUTING):
            return RELAYING_DENIED
        return destination

    def destination(self, recipient: Address) -> Destination:
        """Whose the domain is. An address literal is never ours."""
        if recipient.domain in self.local:
            return Destination.LOCAL
        if recipient.domain in self.relay:
            return Destination.RELAY
        return Destination.ELSEWHERE


def _known(session: Session) -> bool:
    """A login or a trusted network; a filter's word is neither."""
    return bool(session.login) or session.trusted
