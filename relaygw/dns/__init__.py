"""DNS for everyone: dnspython's resolver driven by Twisted, behind a cache, or a zone file in its place.

    records    dnspython's names and records from and to the values of `relaygw.core.question`
    backend    dnspython's sockets, on Twisted
    network    one question asked of the configured servers, with its time limit
    cache      answers kept for their TTL, questions in flight shared, their number bounded
    deadline   a time limit for all questions of one inquiry together
    fixed      answers from a mapping or a zone file
    mapping    the mapping in a YAML file
    recording  every question with its answer and its time, for reports

A Resolver never raises for what the network does: failure is an Answer. `consult` runs core's inquiries.
"""

from pathlib import Path
from typing import TypeVar

from relaygw.config.schema import DnsConfig
from relaygw.core.question import Inquiry
from relaygw.dns.backend import IDnsReactor
from relaygw.dns.cache import CachingResolver
from relaygw.dns.deadline import DeadlineResolver
from relaygw.dns.fixed import FixedResolver, ZoneError
from relaygw.dns.network import NetworkResolver, nameservers
from relaygw.dns.recording import Asked, RecordingResolver
from relaygw.interfaces import IResolver

__all__ = [
    "Asked",
    "CachingResolver",
    "DeadlineResolver",
    "FixedResolver",
    "NetworkResolver",
    "RecordingResolver",
    "ZoneError",
    "consult",
    "make_resolver",
    "read_zone",
]

T = TypeVar("T")


async def consult(inquiry: Inquiry[T], resolver: IResolver) -> T:
    """Run an inquiry to its result, each question answered by the resolver."""
    try:
        question = next(inquiry)
        while True:
            question = inquiry.send(await resolver.ask(question))
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        inquiry.close()


def make_resolver(config: DnsConfig, reactor: IDnsReactor) -> IResolver:
    """The resolver the configuration asks for; raises ZoneError for a `zone` file that cannot be used."""
    if config.zone is not None:
        return read_zone(config.zone)
    servers, trusted = nameservers(config.nameservers)
    network = NetworkResolver(reactor, servers, timeout=config.timeout, trusted=trusted)
    return CachingResolver(network, reactor, size=config.cache_size, timeout=config.timeout + 1.0)


def read_zone(path: str) -> FixedResolver:
    """A resolver that answers from an RFC 1035 zone file or a YAML mapping; raises ZoneError."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ZoneError(f"the zone file {path} cannot be read: {error}") from None
    return FixedResolver.from_file(text, path)
