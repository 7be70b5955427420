"""Where a message would go, and why: the routing table's own explanation, then the hosts, the TLS policy and the
signing keys that would be used. Nothing is sent; the DNS is asked. Whether we would accept it is another question.
"""

import contextlib
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping
from urllib.parse import urlsplit

import attrs

from relaygw.bridge import resolve
from relaygw.config.schema import Config
from relaygw.control.collaborators import Rehearse, Signing, unsigned
from relaygw.control.shapes import Json
from relaygw.core import routing
from relaygw.core.address import Address
from relaygw.core.envelope import Envelope, Recipient, path
from relaygw.core.mx import Found, Locality, Refusal, targets_for_domain, targets_for_host
from relaygw.core.record import RecipientState, Record, Route
from relaygw.dns import consult
from relaygw.interfaces import Account, IResolver, Rehearsal

Finder = Callable[[Address], Account | None | Awaitable[Account | None]]


@attrs.frozen(kw_only=True)
class Case:
    """The message that is asked about; "" where a condition of a route shall not be told.

    `connect`: the hosts are talked to as far as EHLO and TLS.
    """

    sender: Address | None
    recipient: Address
    login: str = ""
    listener: str = ""
    client: str = ""
    size: int = 0
    connect: bool = False


async def explain_route(
    case: Case,
    config: Config,
    resolver: IResolver,
    account: Finder,
    rehearse: Rehearse | None = None,
    signing: Signing = unsigned,
) -> Json:
    """The answer of `relaygw route --json`."""
    table = routing.compile_routes(config.routes, config.domains, config.relay_domains)
    choice = table.explain(_record(case), Recipient(address=case.recipient))
    answer: Json = {
        "sender": path(case.sender),
        "recipient": str(case.recipient),
        "action": "fail",
        "transport": "",
        "hosts": [],
        "tls": "",
        "signing": [],
        "reason": "",
        "steps": [{"step": tried.rule, "matched": tried.matched, "why": tried.why} for tried in choice.tried],
    }
    if choice.route is None:
        return {**answer, "reason": "no route matches"}
    signed = [dict(key) for key in signing(_record(case))]
    answer |= {"transport": choice.route.transport, "parameters": _parameters(choice.route)}
    answer |= _ceilings(config)
    rehearsing = rehearse(choice.route, case.recipient, case.connect) if rehearse is not None else None
    if rehearsing is not None:
        return answer | {"signing": signed} | _rehearsed(await rehearsing, choice.route, config)
    return answer | await _onward(choice.route, case, config, resolver, account, signed)


def _rehearsed(found: Rehearsal, route: Route, case: Case, config: Config) -> Json:
    """The transport's own word."""
    told = {
        "action": "deliver",
        "hosts": [dict(host) for host in found.hosts],
        "tls": next((str(host["tls"]) for host in found.hosts), _tls(dict(route.parameters), config)),
        "credentials": found.credentials,
    }
    if found.refusal:
        return told | {"action": "fail" if found.permanent else "defer", "reason": found.refusal}
    refused = [str(host["refused"]) for host in found.hosts if host.get("refused")]
    if refused and len(refused) == len(found.hosts):
        return told | {"action": "defer", "reason": refused[0]}
    return told


def _ceilings(config: Config) -> Json:
    """How much goes out at once, and for how long it is tried again."""
    queue = config.queue
    return {
        "ceilings": {
            "concurrency": queue.concurrency,
            "destination_concurrency": queue.destination_concurrency,
            "messages_per_connection": config.egress.messages_per_connection,
        },
        "retry": {"waits": list(queue.retry), "expire": queue.expire},
    }


async def _onward(
    route: Route, case: Case, config: Config, resolver: IResolver, account: Finder, signed: list[Json]
) -> Json:
    if route.transport == "discard":
        return {"action": "discard"}
    if route.transport == "hold":
        return {"action": "hold", "reason": str(dict(route.parameters).get("reason", "")) or f"held by {route.name}"}
    if route.transport == "reject":
        return {"action": "fail", "reason": str(dict(route.parameters).get("reason", "")) or "the route says reject"}
    if route.transport == "maildir":
        return await _local(case.recipient, account)
    given = dict(route.parameters)
    told = {
        "action": "deliver",
        "tls": _tls(given, config),
        "signing": signed,
    }
    here = Locality(
        hostname=config.hostname,
        is_ours=lambda _: False,
        shuffle=random.shuffle,
        ipv4=config.egress.ipv4,
        ipv6=config.egress.ipv6,
    )
    if route.transport == "mx":
        return told | _hosts(
            await consult(targets_for_domain(case.recipient.domain, here), resolver), config.egress.port
        )
    if route.transport == "smarthost":
        return told | await _smarthost(given, here, config, resolver)
    return told | {"tls": ""}


async def _smarthost(given: Mapping[str, object], here: Locality, config: Config, resolver: IResolver) -> Json:
    """All hosts in their order; nothing to try only where none of them has an address."""
    port = given.get("port")
    default = port if isinstance(port, int) else config.egress.port
    hosts: list[Json] = []
    answer: Json = {}
    for name, its_port in _named_hosts(given, default):
        ask = targets_for_domain if given.get("mx") else targets_for_host
        answer = _hosts(await consult(ask(name, here), resolver), its_port)
        hosts += answer.get("hosts", [])
    return {"hosts": hosts} if hosts else answer


def _named_hosts(given: Mapping[str, object], default: int) -> Iterator[tuple[str, int]]:
    """`host`, or each of `hosts` ("host:port") with its own port where it says one."""
    host, hosts = given.get("host"), given.get("hosts")
    if isinstance(host, str):
        yield host, default
    for text in hosts if isinstance(hosts, tuple) else ():
        with contextlib.suppress(ValueError):
            parts = urlsplit(f"//{text}")
            yield parts.hostname or str(text), parts.port or default


def _tls(given: Mapping[str, object], config: Config) -> str:
    """As the transports choose it: a password goes to a proven host only; TLS from the first octet is no option."""
    login = given.get("username") and not given.get("login_in_clear")
    word = str(given.get("tls") or ("verify" if login else config.egress.tls))
    return "encrypt" if word == "may" and given.get("implicit_tls") else word


async def _local(recipient: Address, account: Finder) -> Json:
    found = await resolve(account(recipient))
    if found is None:
        return {"action": "fail", "reason": f"there is no mailbox for {recipient}"}
    return {"action": "deliver", "mailbox": found.mailbox}


def _hosts(found: Found, port: int) -> Json:
    if isinstance(found, Refusal):
        return {"action": "fail" if found.permanent else "defer", "reason": f"{found.enhanced} {found.reason}"}
    return {
        "hosts": [
            {"host": target.host, "address": target.address, "port": port, "preference": target.preference}
            for target in found.targets
        ]
    }


def _parameters(route: Route) -> Json:
    """The route's parameters but for what may be secret."""
    return {name: value for name, value in route.parameters if "password" not in name and name != "oauth"}


def _record(case: Case) -> Record:
    recipient = Recipient(address=case.recipient)
    return Record(
        queue_id="",
        envelope=Envelope(sender=case.sender, recipients=(recipient,)),
        arrived=0.0,
        recipients=(RecipientState(recipient=recipient),),
        size=case.size,
        header_from=case.sender.domain if case.sender else "",
        client=case.client,
        listener=case.listener,
        login=case.login,
    )
