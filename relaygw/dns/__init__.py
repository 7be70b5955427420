"""DNS for everyone: dnspython's resolver driven by Twisted, behind a cache, or a zone file in its place.

    records    dnspython's names and records from and to the values of `relaygw.core.question`
    backend    dnspython's sockets, on Twisted
    datagrams  a connected UDP socket; inbox: what arrives, and who waits for it
    effort     which answers take too long to read
    network    one question asked of the configured servers, with its time limit
    cache      answers kept for their TTL, questions in flight shared, their number bounded
    turns      so many things at one time
    deadline   a time limit for all questions of one inquiry together
    fixed      answers from a mapping or a zone file
    mapping    the mapping in a YAML file
    recording  every question with its answer and its time, for reports

A Resolver never raises for what the network does: failure is an Answer. `consult` runs core's inquiries, and so does
`consult_now`, which costs no coroutine where all answers are known already.
"""

from collections.abc import Awaitable
from typing import TypeVar

from twisted.internet.defer import Deferred

from relaygw.bridge import as_deferred, resolve
from relaygw.config.schema import DnsConfig
from relaygw.core.question import Answer, Inquiry, Question
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
    "consult_now",
    "known",
    "make_resolver",
    "read_zone",
]

T = TypeVar("T")

_LONGEST_ZONE = 1 << 28
"""Octets of a zone file; what has more, such as a device, has no end."""


async def consult(inquiry: Inquiry[T], resolver: IResolver) -> T:
    """Run an inquiry to its result, each question answered by the resolver."""
    return await resolve(consult_now(inquiry, resolver))


def known(answer: Awaitable[Answer]) -> Answer | None:
    """What is answered already, None where it has to be waited for."""
    # Of a Deferred that has fired and is not chained to another; a failure is for who awaits it.
    if isinstance(answer, Deferred) and answer.called and isinstance(answer.result, Answer):
        return answer.result
    return None


def consult_now(inquiry: Inquiry[T], resolver: IResolver) -> T | Awaitable[T]:
    """The inquiry's result, at once where the resolver knows every answer, else a coroutine of it."""
    try:
        question = next(inquiry)
        while True:
            awaited = resolver.ask(question)
            answer = known(awaited)
            if answer is None:
                return _go_on(inquiry, resolver, question, awaited)
            question = inquiry.send(answer)
    except StopIteration as stop:
        result: T = stop.value
        return result


async def _go_on(inquiry: Inquiry[T], resolver: IResolver, question: Question, awaited: Awaitable[Answer]) -> T:
    """The rest of an inquiry from the first answer on that has to be waited for."""
    ahead: dict[Question, Deferred[Answer]] = {}
    try:
        while True:
            if question.soon:
                awaited = as_deferred(awaited)  # on its way before those that follow it
                ahead |= {each: as_deferred(resolver.ask(each)) for each in question.soon}
            question = inquiry.send(await awaited)
            # What was asked ahead is not asked again: an answer may hold for this once only (a TTL of 0).
            awaited = ahead.pop(question) if question in ahead else resolver.ask(question)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        inquiry.close()
        for left in ahead.values():
            _give_up(left)


def _give_up(answer: Deferred[Answer]) -> None:
    """Nobody reads it any more, nor why it did not come."""
    _ = answer.addErrback(lambda _: None)
    answer.cancel()


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
        with open(path, "rb") as file:
            data = file.read(_LONGEST_ZONE + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise ZoneError(f"the zone file {path or repr(path)} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ZoneError(f"the zone file {path} cannot be read: it is not text in UTF-8 (octet {error.start})") from None
    if len(data) > _LONGEST_ZONE:
        raise ZoneError(f"the zone file {path} cannot be read: it has more than {_LONGEST_ZONE} octets")
    return FixedResolver.from_file(text, path)
