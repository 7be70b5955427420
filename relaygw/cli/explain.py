"""`relaygw explain`: what would become of a message, from the door to the next hop, and why. Nothing is sent or stored.

A message of the queue is asked about by its id; any other is a file, with the client and envelope it would come with.
The same code judges as in the service: permission, the evaluation of the sender, the rules that hold mail, routing.
Filters that remember (greylisting, rates, lists) are named and not asked: to ask them would change what they know.
"""

import argparse
import os
from typing import TYPE_CHECKING, Any

from relaygw.cli.answer import DONE, NO, Answer, CommandError, UsageError, printable
from relaygw.cli.context import Context
from relaygw.cli.explain_door import of_file
from relaygw.cli.explain_way import in_brackets, route, together
from relaygw.control.shapes import Json

if TYPE_CHECKING:
    from relaygw.cli.borrowed import Parts as Borrowed
    from relaygw.config.schema import Config
    from relaygw.core.record import Record

_REFUSED = ("refuse", "defer", "fail")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=run)
    add = parser.add_argument
    add(
        "what", metavar="ID|FILE", help='the id of a message in the queue, or a message in a file ("-": standard input)'
    )
    add("--from", dest="sender", default=None, metavar="S", help='the reverse-path (default: "<>", the null one)')
    add("--to", dest="recipients", action="append", default=[], metavar="R", help="a recipient; repeatable")
    add("--ip", default="", metavar="A", help="the address of the client it comes from")
    add("--helo", default="", metavar="H", help="the name the client gives in EHLO")
    add("--login", default="", metavar="NAME", help="as if the client had logged in so")
    add("--listener", default="", metavar="NAME", help="the listener it comes over (default: the first that fits)")


def run(options: argparse.Namespace, context: Context) -> Answer:
    queued = None if options.recipients or options.what == "-" else _queued(options.what, context)
    document = _of_queued(queued, context) if queued is not None else of_file(options, context)
    status = NO if document["action"] in _REFUSED else DONE
    return Answer(document=document, text=_text(document), status=status)


def _queued(queue_id: str, context: Context) -> "tuple[Record, bytes] | None":
    """The record and its header section; None where there is no such message."""
    from relaygw.cli.spool_access import reading_of
    from relaygw.spool.codec import CodecError

    if os.path.exists(queue_id):
        return None
    if not queue_id.isalnum():
        raise UsageError(f"{queue_id!r} is neither a file that is there nor a queue id")
    try:
        with reading_of(context) as reading:
            row = reading.message(queue_id)
            if row is None:
                raise CommandError(f"there is no message {queue_id!r} in the queue, and no such file")
            return row.record(), reading.content(row).head
    except CodecError as error:
        raise CommandError(f"the message cannot be read: {error}") from None


def _of_queued(queued: "tuple[Record, bytes]", context: Context) -> Json:
    from relaygw.cli.borrowed import run_with_parts

    record, head = queued
    config = context.config

    async def ask(parts: "Borrowed") -> Json:
        ways = [await _way_of(record, head, state, config, parts) for state in record.waiting]
        steps = []
        if record.held:
            steps.append({"step": "held", "matched": True, "why": record.held})
        answer = together(ways, steps)
        if record.held:
            answer |= {"action": "hold", "reason": f"held: {record.held}; what follows is what comes after a release"}
        known = {"sender": in_brackets(record.envelope.sender), "findings": list(record.findings)}
        return {"id": record.queue_id, **known, **answer}

    return run_with_parts(config, ask)


async def _way_of(record: "Record", head: bytes, state: Any, config: "Config", parts: "Borrowed") -> Json:
    from relaygw.core.detour import route_of
    from relaygw.core.routing import compile_routes

    if state.detour is None:
        return await route(record, head, state.address, config, parts, accepted=True)
    table = compile_routes(config.routes, config.local_domains, config.relay_domains)
    way = route_of(state.detour, table.named)
    step = {"step": "rerouted", "matched": True, "why": f"an operator sends it to {state.detour}"}
    answer: Json = {"recipient": str(state.address), "action": "defer", "transport": "", "hosts": [], "tls": ""}
    answer |= {"signing": [], "reason": "", "steps": [step], "rewriting": [], "expansion": []}
    if way is None:
        return answer | {"reason": f"there is no {state.detour} any more"}
    answer |= {"action": "deliver", "transport": way.transport, "signing": list(parts.signing(record))}
    rehearsing = parts.rehearse(way, state.address, False)
    if rehearsing is None:
        return answer
    found = await rehearsing
    answer["hosts"] = [dict(host) for host in found.hosts]
    answer["tls"] = next((str(host["tls"]) for host in found.hosts), "")
    if found.refusal:
        answer |= {"action": "fail" if found.permanent else "defer", "reason": found.refusal}
    return answer


def _text(document: Json) -> str:
    from relaygw.cli.route import text_of

    lines = [f"from {document['sender']}"]
    steps = document["steps"] if len(document["recipients"]) != 1 else [
        step for step in document["steps"] if step not in document["recipients"][0]["steps"]
    ]  # fmt: skip
    lines += [f"  {'*' if step['matched'] else ' '} {step['step']}: {printable(step['why'])}" for step in steps]
    for way in document["recipients"]:
        lines += ["", text_of({"sender": document["sender"], **way})]
    reason = f" ({printable(document['reason'])})" if document["reason"] else ""
    return "\n".join([*lines, "", f"in all: {document['action']}{reason}"])
