"""Where a message would go, and why: what rewriters and aliases make of it, the routing table's own explanation, then
the hosts, the TLS policy, the signing keys and what the queue keeps to. Nothing is sent; the DNS is asked. Whether we
would let its client in is another question.
"""

import contextlib
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from urllib.parse import urlsplit

import attrs

from relaygw.bridge import resolve
from relaygw.config.schema import Config
from relaygw.control import notes
from relaygw.control.collaborators import AddressOperations, Rehearse, Signing, unsigned
from relaygw.control.shapes import Json
from relaygw.core import routing
from relaygw.core.address import Address
from relaygw.core.aliasing import Expansion, Final
from relaygw.core.envelope import Envelope, Recipient, path
from relaygw.core.facts import read_facts
from relaygw.core.mx import Found, Locality, Refusal, targets_for_domain, targets_for_host
from relaygw.core.record import RecipientState, Record, Route
from relaygw.dns import consult
from relaygw.interfaces import Account, IResolver, Rehearsal

Finder = Callable[[Address], Account | None | Awaitable[Account | None]]


@attrs.frozen(kw_only=True)
class Case:
    """The message that is asked about; "" where a condition of a route shall not be told. `headers` are its fields;
    without a From among them it is by its sender. `findings` are as filters would have found them, and `quarantined`
    says where they would have put it.

    `accepted`: it is as rewriters and aliases have left it. `connect`: the hosts are talked to as far as EHLO and TLS.
    """

    sender: Address | None
    recipient: Address
    login: str = ""
    listener: str = ""
    client: str = ""
    size: int = 0
    headers: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    quarantined: bool = False
    accepted: bool = False
    connect: bool = False

    @property
    def head(self) -> bytes:
        """The header section."""
        lines = [*self.headers]
        if self.sender is not None and not any(line.lower().startswith("from:") for line in lines):
            lines.append(f"From: {path(self.sender)}")
        return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "replace")


@attrs.frozen(kw_only=True)
class Parts:
    """What an explanation asks. `addresses` None: nothing is expanded or rewritten."""

    config: Config
    resolver: IResolver
    account: Finder
    rehearse: Rehearse | None = None
    signing: Signing = unsigned
    addresses: AddressOperations | None = None


async def explain_route(case: Case, parts: Parts) -> Json:
    """The answer of `relaygw route --json`: rewritten and expanded as at acceptance, and then each way onward."""
    whole = Envelope(sender=case.sender, recipients=(Recipient(address=case.recipient),))
    head, told = case.head, list[Json]()
    expansion = Expansion(finals=(Final(case.recipient),))
    if parts.addresses is not None and not case.accepted:
        whole, head, changes = parts.addresses.incoming(case.listener, whole, head)
        told = [dict(change) for change in changes]
        expansion = await parts.addresses.expand(case.recipient, case.sender)
    answer: Json = {
        "sender": path(case.sender),
        "recipient": str(case.recipient),
        "action": "fail",
        "transport": "",
        "hosts": [],
        "tls": "",
        "signing": [],
        "reason": "",
        "rewriting": told,
        "expansion": [
            {"address": str(step.address), "table": step.table, "key": step.key, "targets": list(step.targets)}
            for step in expansion.steps
        ],
        "steps": [],
    }
    if expansion.reply is not None:
        action = "fail" if expansion.reply.permanent else "defer"
        return answer | {"action": action, "reason": f"refused at RCPT: {expansion.reply} ({expansion.reason})"}
    ends = _ends(case, whole, expansion)
    ways = [await _way(attrs.evolve(case, sender=sender, recipient=end), head, parts) for sender, end in ends]
    if not ways:
        return answer | {"action": "discard", "reason": "it leads nowhere"}
    if len(ways) == 1:
        return answer | {"final": str(ends[0][1])} | ways[0]
    named = [
        {"sender": path(sender), "recipient": str(end)} | way for (sender, end), way in zip(ends, ways, strict=True)
    ]
    return answer | {"action": _together(way["action"] for way in ways), "recipients": named}


def _ends(case: Case, envelope: Envelope, expansion: Expansion) -> list[tuple[Address | None, Address]]:
    """Each end with its sender. Who was rewritten, or added, is not expanded."""
    found: dict[Address, Address | None] = {}
    for recipient in envelope.recipients:
        if recipient.address != case.recipient:
            found.setdefault(recipient.address, envelope.sender)
            continue
        for final in expansion.finals:
            owner = final.owner if case.sender is not None else None
            found.setdefault(final.address, owner or envelope.sender)
    return [(sender, end) for end, sender in found.items()]


def _together(actions: Iterable[str]) -> str:
    """The worst of them."""
    return max(actions, key=("discard", "deliver", "hold", "defer", "fail").index)


async def _way(case: Case, head: bytes, parts: Parts) -> Json:
    """One recipient's way onward."""
    config = parts.config
    record = _record(case, head)
    table = routing.compile_routes(config.routes, config.local_domains, config.relay_domains)
    choice = table.explain(record, Recipient(address=case.recipient), table.headers.find(head))
    steps = [{"step": tried.rule, "matched": tried.matched, "why": tried.why} for tried in choice.tried]
    answer: Json = {"action": "fail", "transport": "", "hosts": [], "tls": "", "signing": [], "reason": ""}
    answer |= {"steps": steps}
    route = choice.route
    if route is None:
        return answer | {"reason": "no route matches"}
    answer |= {"transport": route.transport, "route": route.name, "parameters": _parameters(route)}
    sent, changes = record, list[Json]()
    if parts.addresses is not None:
        sent, found = parts.addresses.outgoing(record, route, head)
        changes = [dict(change) for change in found]
    goal = sent.envelope.recipients[0].address
    answer |= {"mail_from": path(sent.envelope.sender), "rcpt_to": path(goal), "outgoing": changes}
    signed = [dict(key) for key in parts.signing(sent)]
    rehearsing = parts.rehearse(route, goal, case.connect) if parts.rehearse is not None else None
    if rehearsing is not None:
        answer |= {"signing": signed} | _rehearsed(await rehearsing, route, config)
    else:
        case = attrs.evolve(case, recipient=goal)
        answer |= await _onward(route, case, config, parts.resolver, parts.account, signed)
    destination = await parts.addresses.destination(route, goal) if parts.addresses is not None else ""
    return answer | notes.ceilings(config, destination) | notes.retry(config, record)


def _rehearsed(found: Rehearsal, route: Route, config: Config) -> Json:
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


def _record(case: Case, head: bytes) -> Record:
    recipient = Recipient(address=case.recipient)
    return Record(
        queue_id="",
        envelope=Envelope(sender=case.sender, recipients=(recipient,)),
        arrived=0.0,
        recipients=(RecipientState(recipient=recipient),),
        size=case.size,
        header_from=read_facts(head).header_from,
        client=case.client,
        listener=case.listener,
        login=case.login,
        findings=case.findings,
        quarantined=case.quarantined,
    )
