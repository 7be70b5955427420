"""`relaygw auth FILE`: who sent a stored message, as the service would have found it: SPF, DKIM, DMARC, ARC, iprev.

Needs neither the service nor a configuration; where there is one, its DNS and the options of its filters are used.
"""

import argparse
import contextlib
import datetime
import math
import re
import socket
import sys
import time
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from relaygw.cli.answer import Answer, UsageError, printable
from relaygw.cli.context import Context
from relaygw.core.address import Address, AddressError, normalize_domain, parse_address

if TYPE_CHECKING:
    from relaygw.cli.evaluation import Case
    from relaygw.config.schema import Config
    from relaygw.core.client import IPAddress

LONGEST = 1 << 30
"""Octets of a file that are read: far beyond any message, and short of what `/dev/zero` has to say."""

_PIECE = 1 << 20
"""Octets that are read at once: for as many as there may be Python would take the memory before it has read any."""

_BARE_LINE_END = re.compile(rb"(?<!\r)\n")
_NEXT_MESSAGE = re.compile(rb"\n\r?\nFrom \S.*\d\d:\d\d")
"""The line that begins another message of a mailbox file; a line of a text does not have the time in it."""
_FIELD = re.compile(rb"[!-9;-~]+[ \t]*:")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("file", metavar="FILE", help='the message, or "-" for standard input')
    add("--ip", default="", metavar="A", help="the address of the client it came from")
    add("--helo", default="", metavar="H", help="the name the client gave in EHLO")
    sender = 'the reverse-path, "<>" for the null one (default: that of Return-Path, where the message has it)'
    add("--from", dest="sender", default=None, metavar="S", help=sender)
    add("--zone", default="", metavar="FILE", help="ask this zone file or YAML mapping, not the network")
    add("--at", default="", metavar="TIME", help="as if it were this time (ISO 8601, or POSIX seconds)")


def run(options: argparse.Namespace, context: Context) -> Answer:
    from relaygw.cli.asking import Progress, ask_all
    from relaygw.cli.evaluation import evaluate
    from relaygw.cli.evaluation_notes import further_actions
    from relaygw.cli.evaluation_shapes import document_of, text_of
    from relaygw.config.schema import DnsConfig

    config = _config(context)
    notes: list[str] = []
    case = _case(options, config, notes)
    dns = config.dns if config is not None else DnsConfig()
    found, asked = ask_all(dns, options.zone, lambda resolver: evaluate(case, resolver), Progress(not options.json))
    if found.signatures.ignored:
        notes.append(f"{found.signatures.ignored} more DKIM signatures were not looked at")
    if config is not None:
        notes += further_actions(config, found)
    document = document_of(case, found, asked, notes)
    return Answer(document=document, text=text_of(document, asked), notes="\n".join(map(printable, notes)))


def _config(context: Context) -> "Config | None":
    """None where the only configuration there could be is the system's, and there is none."""
    return None if context.missing else context.config


def _case(options: argparse.Namespace, config: "Config | None", notes: list[str]) -> "Case":
    from relaygw.cli.evaluation import Case, policies
    from relaygw.cli.evaluation_notes import without_effect
    from relaygw.core.content import BytesContent
    from relaygw.core.line_ends import has_bare
    from relaygw.ingress.reception import head_flaw

    data = mail_of(read_file(options.file), notes)
    content = BytesContent(data)
    refusal = head_flaw(content, binary=False)
    if refusal is not None:
        notes.append(f"the service refuses such a message, whatever is found: {refusal}")
    if has_bare(data) or b"\0" in data:
        notes.append("it has a bare CR or a NUL octet: the service refuses it, unless it comes as BINARYMIME")
    client = _client(options.ip, notes)
    if config is not None:
        notes += without_effect(config, client)
    return Case(
        content=content,
        client=client,
        hello=_hello(options.helo),
        sender=_sender(options.sender, content.head, notes),
        receiver=config.hostname if config is not None else socket.gethostname(),
        now=_time(options.at),
        policies=policies(config),
    )


def read_file(path: str, longest: int = LONGEST) -> bytes:
    """What a file named on the command line holds, or standard input ("-"); raises UsageError."""
    try:
        with contextlib.nullcontext(sys.stdin.buffer) if path == "-" else open(path, "rb") as file:
            data = b"".join(islice(iter(partial(file.read, _PIECE), b""), longest // _PIECE + 1))
    except OSError as error:
        raise UsageError(f"{path or repr(path)}: {error.strerror or error}") from None
    if len(data) > longest:
        raise UsageError(f"{path}: this is no message: it has more than {longest} octets")
    return data


def mail_of(data: bytes, notes: list[str]) -> bytes:
    """The message as it travels: with CRLF, and without the line that begins it in a mailbox file."""
    if data.startswith(b"From "):
        notes.append("the first line is that of a mailbox file, and was left out")
        data = data.partition(b"\n")[2]
        following = _NEXT_MESSAGE.search(data)
        if following is not None:
            notes.append("more messages follow in the mailbox file: the first one is looked at")
            data = data[: following.start() + 1]
    if _BARE_LINE_END.search(data):
        notes.append("line ends were made CRLF, as they are in SMTP")
        data = _BARE_LINE_END.sub(b"\r\n", data)
    if not _FIELD.match(data):
        notes.append("it does not begin with a header field: is it a message?")
    return data


def _client(text: str, notes: list[str]) -> "IPAddress | None":
    from relaygw.core.client import parse_client

    if not text:
        notes.append("without --ip there is no SPF and no iprev")
    try:
        return parse_client(text)
    except ValueError:
        raise UsageError(f"{text!r} is not an IP address") from None


def _hello(text: str) -> str:
    """As a server takes it: what is no domain is kept as it is, and fails as it would there."""
    try:
        return normalize_domain(text.removesuffix("."))
    except AddressError:
        return text


def _sender(given: str | None, head: bytes, notes: list[str]) -> "Address | None":
    from relaygw.core import headers

    text = given
    if text is None:
        field = headers.first(head, b"return-path").decode("utf-8", "replace")
        text = field.strip()
        notes.append(f"the sender is that of Return-Path: {text}" if text else "the sender is the null one: no --from")
    text = text.removeprefix("<").removesuffix(">")
    try:
        return parse_address(text) if text else None
    except AddressError as error:
        where = "" if given is not None else " of Return-Path (say it with --from)"
        raise UsageError(f"the sender {text!r}{where}: {error}") from None


def _time(text: str) -> float:
    if not text:
        return time.time()
    with contextlib.suppress(ValueError):
        seconds = float(text)
        if math.isfinite(seconds):
            return seconds
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is neither a time in ISO 8601 nor a number of seconds") from None
    return moment.replace(tzinfo=moment.tzinfo or datetime.UTC).timestamp()
