"""`relaygw route SENDER RECIPIENT`: where a message would go, and why; asked of the service, or worked out here."""

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from relaygw.cli.answer import DONE, NO, Answer, NotRunningError, UsageError, printable
from relaygw.cli.context import Context
from relaygw.control.shapes import Json

if TYPE_CHECKING:
    from relaygw.config.schema import Config
    from relaygw.control.explain import Case


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=run)
    parser.add_argument("sender", metavar="SENDER", help='an address, or "<>"')
    parser.add_argument("recipient", metavar="RECIPIENT", help="an address")
    for name, sentence in (
        ("login", "as if sent with this login"),
        ("listener", "as if it came over this listener"),
        ("client", "as if it came from this IP address"),
    ):
        parser.add_argument(f"--{name}", default="", help=sentence)
    parser.add_argument("--size", type=int, default=0, help="as if it had so many octets")
    parser.add_argument("--connect", action="store_true", help="talk to the hosts as far as EHLO and TLS")


def run(options: argparse.Namespace, context: Context) -> Answer:
    given = {name: getattr(options, name) for name in ("sender", "recipient", "login", "listener", "client")}
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
    return Answer(document=document, text=_text(document), notes=notes, status=status)


def _case(given: dict[str, str]) -> "Case":
    from relaygw.control.app import route_case
    from relaygw.control.asked import BadRequest

    try:
        return route_case(given)
    except BadRequest as error:
        raise UsageError(str(error)) from None


def _work_out(case: "Case", config: "Config") -> Json:
    """The same explanation, with a resolver and a directory of our own."""
    from relaygw.cli.borrowed import run_with_parts
    from relaygw.control.explain import explain_route

    return run_with_parts(
        config, lambda parts: explain_route(case, config, parts.resolver, parts.account, parts.rehearse, parts.signing)
    )


def _text(document: Json) -> str:
    lines = [f"{document['sender']} -> <{document['recipient']}>"]
    lines += [
        f"  {'*' if step['matched'] else ' '} {step['step']}: {printable(step['why'])}" for step in document["steps"]
    ]
    lines.append(
        f"action: {document['action']}" + (f" ({printable(document['reason'])})" if document["reason"] else "")
    )
    for key in ("transport", "mailbox", "credentials"):
        if document.get(key):
            lines.append(f"{key}: {printable(document[key])}")
    lines += [line for host in document["hosts"] for line in _host(host)]
    if document["tls"] and not any("tls" in host for host in document["hosts"]):
        lines.append(f"tls: {document['tls']}")
    lines += [f"signed: {key['selector']}._domainkey.{key['domain']}" for key in document["signing"]]
    if "ceilings" in document:
        at_once = document["ceilings"]
        lines.append(
            f"at once: {at_once['destination_concurrency']} to one destination, {at_once['concurrency']} in all; "
            f"{at_once['messages_per_connection']} messages per connection"
        )
    return "\n".join(lines)


def _host(host: Json) -> Iterator[str]:
    """One host, its policy, and what talking to it came to."""
    yield f"host: {host['host']} [{host['address']}]:{host['port']}"
    if "tls" in host:
        yield f"  tls: {host['tls']} ({printable(host['tls_why'])})"
    if host.get("avoided"):
        yield "  it did not answer lately, and is tried after the others"
    if host.get("refused"):
        yield f"  not used: {printable(host['refused'])}"
    connection = host.get("connection")
    if connection:
        yield from _connection(connection)


def _connection(connection: Json) -> Iterator[str]:
    if connection["problem"]:
        yield f"  no session: {printable(connection['problem'])}"
        return
    if not connection.get("tls"):
        yield "  a session in clear"
        return
    proven = "proven" if connection["verified"] else "not proven"
    yield f"  {connection['tls']} {connection['cipher']}, the host's name is {proven}"
    shown = connection["certificate"]
    if shown:
        yield f"  certificate: {printable(shown['subject'])}, by {printable(shown['issuer'])}"
        yield f"  names: {printable(', '.join(shown['names']))}; until {shown['not_after']}"
        yield f"  SHA-256: {shown['sha256']}"
