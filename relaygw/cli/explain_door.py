"""What `relaygw explain` says of a message that might come: whether it is let in, what filters and rules make of it."""

import argparse
import contextlib
import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import attrs

from relaygw.cli.answer import UsageError
from relaygw.cli.context import Context
from relaygw.cli.explain_filters import Judgement, judge
from relaygw.cli.explain_way import in_brackets, nothing, route, together
from relaygw.control.shapes import Json

if TYPE_CHECKING:
    from relaygw.cli.borrowed import Parts as Borrowed
    from relaygw.config.schema import Config, ListenerConfig
    from relaygw.core.address import Address
    from relaygw.core.content import Content
    from relaygw.core.envelope import Envelope
    from relaygw.core.record import Record


def of_file(options: argparse.Namespace, context: Context) -> Json:
    from relaygw.cli.borrowed import run_with_parts
    from relaygw.core.content import BytesContent
    from relaygw.core.envelope import Envelope, Recipient

    if not options.recipients:
        raise UsageError("say to whom it goes: --to R")
    config = context.config
    notes: list[str] = []
    content = BytesContent(_mail(options.what, notes))
    sender, recipients = _addresses(options)
    session = _session(options, config)

    async def ask(parts: "Borrowed") -> Json:
        steps: list[Json] = []
        refusal = _permission(session, recipients, config, steps) or _size(content, config, steps)
        if refusal:
            return {"sender": in_brackets(sender), "findings": [], **nothing(steps, "refuse", refusal)}
        envelope = Envelope(sender=sender, recipients=tuple(Recipient(address=each) for each in recipients))
        judged = await judge(session, envelope, content, config, parts.services, steps)
        if judged.action:
            return {"sender": in_brackets(sender), "findings": [], **nothing(steps, judged.action, judged.reason)}
        record = _taken(_record(session, envelope, content, judged), content.head, judged, config)
        held = record.held or _held(record, content.head, config, steps)
        if held:
            record = attrs.evolve(record, quarantined=False)  # as it is once it is released
        ways = [await route(record, content.head, recipient, config, parts) for recipient in recipients]
        answer = together(ways, steps)
        if held:
            answer |= {"action": "hold", "reason": f"{held}; what follows is what comes after a release"}
        return {"sender": in_brackets(sender), "findings": list(judged.findings), **answer}

    return run_with_parts(config, ask)


def _mail(path: str, notes: list[str]) -> bytes:
    from relaygw.cli.auth import mail_of, read_file

    return mail_of(read_file(path), notes)


def _addresses(options: argparse.Namespace) -> "tuple[Address | None, list[Address]]":
    from relaygw.control.asked import BadRequest, address, reverse_path

    try:
        sender = reverse_path({"from": options.sender or ""}, "from")
        return sender, [address({"to": each}, "to") for each in options.recipients]
    except BadRequest as error:
        raise UsageError(f"--{error}") from None


def _session(options: argparse.Namespace, config: "Config") -> Any:
    from relaygw.core.client import parse_client
    from relaygw.core.session import Session

    try:
        parse_client(options.ip)
    except ValueError:
        raise UsageError(f"--ip: {options.ip!r} is not an IP address") from None
    listener = _listener(options.listener, bool(options.login), config)
    trusted = bool(options.ip) and _permissions(config).trusts(options.ip)
    return Session(
        id="explain",
        listener=listener.name,
        role=listener.role,
        client=options.ip,
        hello=options.helo,
        lmtp=listener.protocol == "lmtp",
        login=options.login,
        trusted=trusted,
    )


def _listener(name: str, login: bool, config: "Config") -> "ListenerConfig":
    """The one that is named, or the first of the role that fits."""
    doors = [each for each in config.listeners if each.protocol in ("smtp", "lmtp")]
    role = "submission" if login else "mx"
    found = [each for each in doors if (each.name == name if name else each.role.value == role)] or (
        [] if name else doors
    )
    if not found:
        raise UsageError(f"no listener {name!r} takes mail" if name else "no listener takes mail")
    return found[0]


def _permissions(config: "Config") -> Any:
    from relaygw.core.permission import Permission, domains_of

    return Permission(
        local=domains_of(config.local_domains),
        relay=domains_of(config.relay_domains),
        trusted=config.trusted_networks,
    )


def _permission(session: Any, recipients: "Sequence[Address]", config: "Config", steps: list[Json]) -> str:
    """Whether the client may send at all, and to each of them: the refusal, or ""."""
    from relaygw.core.reply import Reply

    permission = _permissions(config)
    refusal = permission.begin(session)
    if refusal is not None:
        steps.append({"step": "permission", "matched": False, "why": f"{session.listener}: {refusal}"})
        return str(refusal)
    who = f"the login {session.login}" if session.login else "a trusted client" if session.trusted else "a stranger"
    for recipient in recipients:
        found = permission.relay_to(session, recipient)
        refused = isinstance(found, Reply)
        told = str(found) if refused else f"{who} may send to {recipient} ({found.value})"
        steps.append({"step": "permission", "matched": not refused, "why": told})
        if refused:
            return f"{recipient}: {found}"
    return ""


def _size(content: "Content", config: "Config", steps: list[Json]) -> str:
    from relaygw.core.screening import judge_hops, judge_size

    for name, verdict in (
        ("size", judge_size(content.size, config.limits.message_size)),
        ("loop", judge_hops(content.head, config.limits.received_fields)),
    ):
        if verdict.reply is not None:
            steps.append({"step": name, "matched": False, "why": verdict.reason})
            return str(verdict.reply)
    return ""


def _record(session: Any, envelope: "Envelope", content: "Content", judged: Judgement) -> "Record":
    from relaygw.core.facts import read_facts
    from relaygw.core.lifecycle import begin

    facts = read_facts(content.head)
    return begin(
        queue_id="explain",
        envelope=envelope,
        now=time.time(),
        session=session,
        size=content.size,
        message_id=facts.message_id,
        header_from=facts.header_from,
        held=judged.held,
        quarantined=judged.quarantined,
        findings=judged.findings,
    )


def _taken(record: "Record", head: bytes, judged: Judgement, config: "Config") -> "Record":
    """The record; what routes take out of quarantine is not held for it."""
    from relaygw.core.routing import compile_routes

    table = compile_routes(config.routes, config.local_domains, config.relay_domains)
    return attrs.evolve(record, held=judged.besides) if record.quarantined and table.wants(record, head) else record


def _held(record: "Record", head: bytes, config: "Config", steps: list[Json]) -> str:
    """The rule that would hold it, those of operators included."""
    from relaygw.holds import FILE, HoldBook

    book = HoldBook(os.path.join(config.state, FILE), config, now=time.time, write_event=lambda event: None)
    with contextlib.suppress(OSError, ValueError):  # the service tells of it
        book.read()
    rule = book.judge(record, head)
    if rule is None:
        return ""
    steps.append({"step": f"rule {rule.name}", "matched": True, "why": rule.reason or "it matches"})
    return rule.words
