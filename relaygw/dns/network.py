"""One question asked of the configured servers: UDP first, TCP where the answer is cut short, within a time limit.

What the network does is an Answer. The AD bit is asked for (RFC 6840 5.7) and believed only of a trusted path: servers
the configuration names, servers on this host, or a system configuration that says `trust-ad`.
"""

import ipaddress
import re
from collections.abc import Sequence
from pathlib import Path

import attrs
import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.resolver
from zope.interface import implementer

from relaygw.core.question import Answer, AnswerStatus, Question
from relaygw.dns.backend import IDnsReactor, TwistedBackend
from relaygw.dns.records import TYPES, from_name, from_rdata, to_name
from relaygw.interfaces import IResolver

_PAYLOAD = 1232
"""Octets of UDP answer we ask for: no fragments on any sane path."""
_TRY = 2.0
"""Seconds one server gets before the next is asked."""
_MAX_REASON = 300
_SERVER = re.compile(r"(?:\[([^]]+)\](?::([0-9]{1,5}))?|([^:]+):([0-9]{1,5}))\Z")


@attrs.frozen
class Server:
    """A name server: IP address and port."""

    address: str
    port: int = 53


def nameservers(configured: Sequence[str], resolv_conf: str = "/etc/resolv.conf") -> tuple[tuple[Server, ...], bool]:
    """The servers to ask, and whether their AD bit is believed: those configured, or else those of the system.

    Raises ValueError for what is no `address` or `address:port` (IPv6 with a port in brackets).
    """
    if configured:
        return tuple(map(_server, configured)), True
    try:
        text = Path(resolv_conf).read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    found = re.findall(r"^\s*nameserver\s+(\S+)", text, re.MULTILINE)
    servers = tuple(Server(address) for address in found if _is_address(address))
    servers = servers or (Server("127.0.0.1"),)  # resolv.conf(5): the default is the server on this host
    trust_ad = re.search(r"^\s*options\b[^\n]*\btrust-ad\b", text, re.MULTILINE) is not None
    return servers, trust_ad or all(ipaddress.ip_address(server.address).is_loopback for server in servers)


def _server(text: str) -> Server:
    match = _SERVER.match(text)
    host, port = (match[1] or match[3], int(match[2] or match[4] or 53)) if match else (text, 53)
    if not _is_address(host) or not 0 < port < 65536:
        raise ValueError(f"not a name server's address: {text!r}")
    return Server(host, port)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


@implementer(IResolver)
class NetworkResolver:
    """Asks `servers` in their order, each again after the others, until `timeout` seconds have passed."""

    def __init__(self, reactor: IDnsReactor, servers: Sequence[Server], *, timeout: float, trusted: bool) -> None:
        self._backend = TwistedBackend(reactor)
        self._timeout = timeout
        self._trusted = trusted
        self._stub = dns.asyncresolver.Resolver(configure=False)
        self._stub.nameservers = [dns.nameserver.Do53Nameserver(server.address, server.port) for server in servers]
        self._stub.timeout = min(_TRY, timeout)
        self._stub.use_edns(0, 0, _PAYLOAD)
        self._stub.set_flags(dns.flags.RD | dns.flags.AD)

    async def ask(self, question: Question) -> Answer:
        if question.type not in TYPES:
            raise ValueError(f"questions of type {question.type!r} are not asked")
        name = to_name(question.name)
        if name is None:
            return Answer(status=AnswerStatus.NO_NAME, reason="the DNS cannot have this name")
        try:
            found = await self._stub.resolve(
                name,
                question.type,
                raise_on_no_answer=False,
                lifetime=self._timeout,
                search=False,
                backend=self._backend,
            )
        except dns.resolver.NXDOMAIN as error:
            return self._negative(AnswerStatus.NO_NAME, error.response(name))
        except (dns.exception.DNSException, OSError) as error:
            return Answer(status=AnswerStatus.FAILED, reason=_why(error)[:_MAX_REASON])
        if found.rrset is None:
            return self._negative(AnswerStatus.NO_DATA, found.response)
        return Answer(
            status=AnswerStatus.FOUND,
            records=tuple(map(from_rdata, found.rrset)),
            ttl=found.chaining_result.minimum_ttl,
            authentic=self._authentic(found.response),
            canonical=from_name(found.canonical_name) if found.canonical_name != name else "",
        )

    def _negative(self, status: AnswerStatus, response: dns.message.QueryMessage) -> Answer:
        ttl = response.resolve_chaining().minimum_ttl  # RFC 2308 5
        return Answer(status=status, ttl=ttl, authentic=self._authentic(response))

    def _authentic(self, response: dns.message.Message) -> bool:
        return self._trusted and bool(response.flags & dns.flags.AD)


def _why(error: Exception) -> str:
    """What the servers said, each thing once. Not which of them did: peers get to read it in replies and fields."""
    said = [attempt[3] for attempt in getattr(error, "kwargs", {}).get("errors", ())] or [error]
    told = ("no answer in time" if isinstance(each, dns.exception.Timeout) else str(each) for each in said)
    return "; ".join(dict.fromkeys(" ".join(each.split()) for each in told))
