"""What `relaygw explain` says of a message that might come: whether it is let in, what filters and rules make of it."""

import argparse
import contextlib
import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from relaygw.cli.answer import UsageError
from relaygw.cli.context import Context
from relaygw.cli.explain_way import in_brackets, nothing, route, together
from relaygw.control.shapes import Json

if TYPE_CHECKING:
    from relaygw.cli.borrowed import Parts as Borrowed
    from relaygw.cli.evaluation import Evaluation
    from relaygw.config.schema import Config, ListenerConfig
    from relaygw.core.address import Address
    from relaygw.core.content import Content
    from relaygw.core.record import Record

HERE = frozenset({"spf", "dkim", "dmarc", "arc", "iprev"})
"""Filters whose judgement is made anew here."""


def of_file(options: argparse.Namespace, context: Context) -> Json:
    from relaygw.cli.borrowed import run_with_parts
    from relaygw.core.content import BytesContent

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
            return {"sender": in_brackets(sender), **nothing(steps, "refuse", refusal)}
        findings, action, reason = await _judged(session, sender, content, config, parts, steps)
        if action in ("refuse", "defer"):
            return {"sender": in_brackets(sender), **nothing(steps, action, reason)}
        record = _record(session, sender, recipients, content, findings, quarantine=reason if action else "")
        held = record.held or _held(record, content.head, config, steps)
        ways = [await route(record, content.head, recipient, config, parts) for recipient in recipients]
        answer = together(ways, steps)
        if held:
            answer |= {"action": "hold", "reason": f"{held}; what follows is what comes after a release"}
        return {"sender": in_brackets(sender), "findings": list(findings), **answer}

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


async def _judged(
    session: Any, sender: "Address | None", content: "Content", config: "Config", parts: "Borrowed", steps: list[Json]
) -> tuple[tuple[str, ...], str, str]:
    """What filters find, and what the first that decides makes of it: "refuse", "defer", "hold" or "", and why."""
    from relaygw.cli.evaluation import Case, evaluate, policies
    from relaygw.core.client import parse_client
    from relaygw.core.verdict import Action

    uses = [use for use in config.filters if session.listener in (use.listeners or _mx(config))]
    if not uses:
        return (), "", ""
    case = Case(
        content=content,
        client=parse_client(session.client),
        hello=session.hello,
        sender=sender,
        receiver=config.hostname,
        now=time.time(),
        policies=policies(config),
    )
    found = await evaluate(case, parts.resolver)
    action, reason = "", ""
    findings: list[str] = []
    for use in uses:
        if use.use not in HERE:
            steps.append({"step": f"filter {use.name}", "matched": False, "why": "it is not asked here"})
            continue
        result, why = _result(use.use, found)
        findings.append(f"{use.use}={result}")
        steps.append({"step": f"filter {use.name}", "matched": True, "why": f"{result}: {why}" if why else result})
        if use.use == "dmarc" and use.mode == "enforce" and not action:
            words = {Action.REJECT: "refuse", Action.DEFER: "defer", Action.QUARANTINE: "hold", Action.HOLD: "hold"}
            action = words.get(found.action, "")
            reason = f"dmarc: {found.judged.reason}" if action else ""
    return tuple(findings), action, reason


def _mx(config: "Config") -> tuple[str, ...]:
    return tuple(each.name for each in config.listeners if each.protocol == "smtp" and each.role.value == "mx")


def _result(use: str, found: "Evaluation") -> tuple[str, str]:
    from relaygw.core.dkim.finding import auth_results

    if use == "spf":
        return (
            (found.spf.result.value, found.spf.reason) if found.spf is not None else ("none", "the client is not known")
        )
    if use == "iprev":
        return (found.iprev.result.value, found.iprev.reason) if found.iprev is not None else ("none", "")
    if use == "dkim":
        results = auth_results(found.signatures)
        best = next((each for each in results if each.result == "pass"), None) or next(iter(results), None)
        return (best.result, best.reason) if best is not None else ("none", "there is no signature")
    if use == "arc":
        return found.chain.result.value, found.chain.reason
    return found.judged.result.value, found.judged.reason


def _record(
    session: Any,
    sender: "Address | None",
    recipients: "Sequence[Address]",
    content: "Content",
    findings: tuple[str, ...],
    *,
    quarantine: str,
) -> "Record":
    from relaygw.core.envelope import Envelope, Recipient
    from relaygw.core.facts import read_facts
    from relaygw.core.lifecycle import begin

    facts = read_facts(content.head)
    return begin(
        queue_id="explain",
        envelope=Envelope(sender=sender, recipients=tuple(Recipient(address=each) for each in recipients)),
        now=time.time(),
        session=session,
        size=content.size,
        message_id=facts.message_id,
        header_from=facts.header_from,
        held=f"quarantine: {quarantine}" if quarantine else "",
        quarantined=bool(quarantine),
        findings=findings,
    )


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
