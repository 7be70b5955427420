"""`relaygw route SENDER RECIPIENT`: where a message would go, and why; asked of the service, or worked out here."""

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from relaygw.cli.answer import DONE, NO, Answer, NotRunningError, UsageError, printable_lines
from relaygw.cli.context import Context
from relaygw.control.shapes import Json

if TYPE_CHECKING:
    from relaygw.config.schema import Config
    from relaygw.control.explain import Case


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=run)
    parser.add_argument("sender", metavar="SENDER", help='an address, or "<>"')
    parser.add_argument("recipient", metavar="RECIPIENT", help="an address")
    for name, value, sentence in (
        ("login", "NAME", "as if sent with this login"),
        ("listener", "NAME", "as if it came over this listener"),
        ("client", "A", "as if it came from this IP address"),
    ):
        parser.add_argument(f"--{name}", default="", metavar=value, help=sentence)
    parser.add_argument("--size", type=int, default=0, metavar="N", help="as if it had so many octets")
    for name, value, sentence in (
        ("header", "FIELD", 'as if it had this field, such as "Subject: Hello"; repeatable'),
        ("finding", "WORDS", 'as if filters had found this, such as "dmarc=fail"; repeatable'),
    ):
        parser.add_argument(f"--{name}", action="append", default=[], metavar=value, help=sentence)
    parser.add_argument("--connect", action="store_true", help="talk to the hosts as far as EHLO and TLS")


def run(options: argparse.Namespace, context: Context) -> Answer:
    names = ("sender", "recipient", "login", "listener", "client", "header", "finding")
    given: dict[str, Any] = {name: getattr(options, name) for name in names if getattr(options, name)}
    given |= {"size": str(options.size)} if options.size else {}
    given |= {"connect": "yes"} if options.connect else {}
    case = _case(given)
    notes = ""
    try:
        document = context.client.get("route", **given)
    except NotRunningError:
        document = _work_out(case, context.config)
        notes = "the service is not running: this is what the file says"
    status = DONE if document["action"] in ("deliver", "discard", "hold") else NO
    return Answer(document=document, text=text_of(document), notes=notes, status=status)


def _case(given: dict[str, Any]) -> "Case":
    from relaygw.control.app import route_case
    from relaygw.control.asked import BadRequest

    try:
        return route_case(given)
    except BadRequest as error:
        raise UsageError(str(error)) from None


def _work_out(case: "Case", config: "Config") -> Json:
    """The same explanation, with a resolver and a directory of our own."""
    from relaygw.cli.borrowed import explain, run_with_parts

    return run_with_parts(config, lambda parts: explain(case, config, parts))


def text_of(document: Json) -> str:
    lines = [f"{document['sender']} -> <{document['recipient']}>"]
    lines += [line for change in document["rewriting"] for line in _change("rewritten", change)]
    for step in document["expansion"]:
        targets = ", ".join(step["targets"])
        lines.append(f"expanded: <{step['address']}> leads to {targets} ({step['table']}: {step['key']})")
    if "recipients" not in document:
        return printable_lines([*lines, *_way(document)])
    for way in document["recipients"]:
        lines += ["", f"{way['sender']} -> <{way['recipient']}>", *_way(way)]
    return printable_lines([*lines, "", f"action: {document['action']}"])


def _change(what: str, change: Json) -> Iterator[str]:
    """What a rewriter makes of it."""
    parts = [f"from {change['sender']}"] if "sender" in change else []
    parts += [f"to {', '.join(change['recipients'])}"] if "recipients" in change else []
    if change["reason"]:
        parts.append(f"not changed: {change['reason']}")
    yield f"{what}: {change['step']}: {'; '.join(parts) or 'the header section'}"
    yield from (f"  - {line}" for line in change.get("removed", ()))
    yield from (f"  + {line}" for line in change.get("added", ()))


def _way(document: Json) -> Iterator[str]:
    """One recipient's way onward."""
    for step in document["steps"]:
        yield f"  {'*' if step['matched'] else ' '} {step['step']}: {step['why']}"
    yield f"action: {document['action']}" + (f" ({document['reason']})" if document["reason"] else "")
    for key in ("transport", "mailbox", "credentials"):
        if document.get(key):
            yield f"{key}: {document[key]}"
    for change in document.get("outgoing", ()):
        yield from _change("on the way out", change)
    if document["hosts"] and document.get("mail_from"):
        yield f"envelope: MAIL FROM:{document['mail_from']} RCPT TO:{document['rcpt_to']}"
    for host in document["hosts"]:
        yield from _host(host)
    if document["tls"] and not any("tls" in host for host in document["hosts"]):
        yield f"tls: {document['tls']}"
    for key in document["signing"]:
        yield f"signed: {key['selector']}._domainkey.{key['domain']}"
    if document["action"] in ("deliver", "defer") and "ceilings" in document:
        yield from _queued(document)


def _queued(document: Json) -> Iterator[str]:
    """What the queue keeps to."""
    most = document["ceilings"]
    limits = [f"{most['destination_concurrency']} to one destination", f"{most['concurrency']} in all"]
    limits += [f"{most[name]} {name.replace('_', ' ')}" for name in _RATES if most[name]]
    name = f" ({document['destination']})" if document["destination"] else ""
    by = f" by {', '.join(most['shaping'])}" if most["shaping"] else ""
    yield f"at once{name}: {'; '.join(limits)}{by}"
    again = document["retry"]
    waits = ", ".join(map(_duration, again["waits"]))
    yield f"again after {waits}; given up after {_duration(again['expire'])} (rule: {again['rule'] or '[queue]'})"
    if again["conditional"]:
        yield f"  for some hosts and kinds of trouble: {', '.join(again['conditional'])}"


_RATES = ("messages_per_minute", "recipients_per_message", "messages_per_connection")


def _duration(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:g}{unit}"
    return f"{seconds:g}s"


def _host(host: Json) -> Iterator[str]:
    """One host, its policy, and what talking to it came to."""
    yield f"host: {host['host']} [{host['address']}]:{host['port']}"
    if "tls" in host:
        yield f"  tls: {host['tls']} ({host['tls_why']})"
    if host.get("avoided"):
        yield "  it did not answer lately, and is tried after the others"
    if host.get("refused"):
        yield f"  not used: {host['refused']}"
    connection = host.get("connection")
    if connection:
        yield from _connection(connection)


def _connection(connection: Json) -> Iterator[str]:
    if connection["problem"]:
        yield f"  no session: {connection['problem']}"
        return
    if not connection.get("tls"):
        yield "  a session in clear"
        return
    proven = "proven" if connection["verified"] else "not proven"
    yield f"  {connection['tls']} {connection['cipher']}, the host's name is {proven}"
    shown = connection["certificate"]
    if shown:
        yield f"  certificate: {shown['subject']}, by {shown['issuer']}"
        yield f"  names: {', '.join(shown['names'])}; until {shown['not_after']}"
        yield f"  SHA-256: {shown['sha256']}"
