"""The part of a delivery report that people read: what happened, to whom, why, and what they can do about it."""

import re
import textwrap
from collections.abc import Sequence
from datetime import UTC, datetime
from email.errors import MessageError
from email.header import decode_header, make_header

from relaygw.core.charsets import codec_of
from relaygw.core.headers import first
from relaygw.core.lifecycle import Kind
from relaygw.core.outcome import Outcome, Status
from relaygw.core.record import RecipientState

MAX_TOLD = 50
"""Recipients that the text for people tells of; nobody reads more, and the part for programs names them all."""

SUBJECTS = {
    Kind.FAILURE: "Undelivered mail: your message was not delivered",
    Kind.DELAY: "Delayed mail: your message is still on its way",
    Kind.SUCCESS: "Delivery report: your message was delivered",
    Kind.EXPANSION: "Delivery report: your message was handed to the members of a list",
    Kind.DOUBLE: "Undelivered report: the sender of a message could not be told of its fate",
}

_OPENINGS = {
    Kind.FAILURE: "Your message was NOT delivered to the recipients below. It will not be tried again.",
    Kind.DELAY: "Your message has not been delivered to the recipients below yet. You need not do anything: it is "
    "tried again until {until}. If that fails too, you will be told.",
    Kind.SUCCESS: "Your message was delivered to the recipients below, or handed on to a system that does not "
    "confirm deliveries.",
    Kind.EXPANSION: "Your message was handed on to all who stand behind the addresses below. There is no report of its "
    "delivery to each of them.",
    Kind.DOUBLE: "A delivery report of ours could not be delivered to the address below, the sender of the message it "
    "is about. The report comes back with this one. Nobody else is told.",
}

_ADVICE = (
    (r"[45]\.1\.[136]", "The address does not exist there. Check it for typing errors, or ask for the new address."),
    (r"5\.1\.0", "The address was refused. Check it for typing errors."),
    (r"[45]\.1\.2|5\.4\.4", "The part after the @ names no place that takes mail. Check it for typing errors."),
    (r"5\.1\.10", "The domain after the @ takes no mail at all. Check it for typing errors."),
    (r"5\.1\.[78]|5\.7\.(?:2[0-7]|1[78])", "The sender address was not believed. Ask your administrator for help."),
    (r"[45]\.2\.2", "The mailbox is full. Tell the recipient by another way, or try again later."),
    (r"[45]\.2\.1", "The mailbox is closed for now. Tell the recipient by another way."),
    (r"5\.3\.4|5\.2\.3", "The message is too large for the recipient. Send a smaller one, or a link to the files."),
    (r"5\.7\.\d+", "The recipient's system refuses the message by its rules. Ask its administrators, or yours."),
    (r"[45]\.4\.[67]|4\.\d+\.\d+", "The recipient's system could not be reached, or was not ready, for all this time. "
     "Try again later, or tell the recipient by another way."),
    (r"5\.6\.\d+", "The recipient's system cannot handle this kind of message. Send it in a simpler form."),
    (r"5\.\d+\.\d+", "If you do not know why, forward this report to the address at the end."),
)  # fmt: skip
"""The first that fits the RFC 3463 code. No promise is made that the code does not keep."""


def explain(
    kind: Kind,
    recipients: Sequence[RecipientState],
    head: bytes,
    hostname: str,
    postmaster: str,
    arrived: str,
    retry_until: float,
) -> str:
    """The whole text, lines ended by "\\n". `head` is the original's header section; `arrived` a readable date."""
    until = datetime.fromtimestamp(retry_until, UTC).strftime("%A, %d %B %Y %H:%M UTC")
    paragraphs = [
        f"This is the mail system at {hostname}.",
        textwrap.fill(_OPENINGS[kind].format(until=until), 76),
        _which(head, arrived),
        *(_recipient(kind, state) for state in recipients[:MAX_TOLD]),
        *_others(len(recipients) - MAX_TOLD),
        textwrap.fill(f"If you need help, forward this whole report to {postmaster}.", 76),
    ]
    return "\n\n".join(paragraphs) + "\n"


def _others(number: int) -> list[str]:
    if number <= 0:
        return []
    more = "one more recipient, who is" if number == 1 else f"{number} more recipients, who are"
    return [textwrap.fill(f"There {'is' if number == 1 else 'are'} {more} named in the next part of this report.", 76)]


def _which(head: bytes, arrived: str) -> str:
    subject = readable_subject(head)
    lines = [f"    Subject:  {subject}"] if subject else []
    return "\n".join([*lines, f"    Arrived:  {arrived}"])


def readable_subject(head: bytes) -> str:
    """The original's Subject as people read it, on one line; "" where there is none or it cannot be read."""
    text = first(head, b"subject")[:1000].decode("utf-8", "replace")
    try:
        words = decode_header(text)
        if all(charset is None or codec_of(charset) for _, charset in words):
            text = str(make_header(words))
    except (MessageError, LookupError, ValueError):
        pass  # it is told as it was written
    return _one_line(text, 60)


def _one_line(text: str, limit: int) -> str:
    text = text[: 2 * limit]
    line = (text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)).strip()
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _recipient(kind: Kind, state: RecipientState) -> str:
    lines = [f"<{state.address}>"]
    if state.last is not None:
        lines += _said(state.last)
    advice = advice_for(kind, state.last)
    if advice:
        lines += textwrap.wrap(advice, 72, initial_indent="    -> ", subsequent_indent="       ")
    return "\n".join(lines)


def _said(last: Outcome) -> list[str]:
    if last.status is Status.DELIVERED:
        words = f"accepted by {_host(last)}" if last.remote else "delivered"
    elif last.remote:
        words = f"{_host(last)} said: {_one_line(str(last.reply), 900)}"
    else:
        words = _one_line(last.reply.text, 900)
    return textwrap.wrap(words, 76, initial_indent="    ", subsequent_indent="    ") or ["    (no reason was given)"]


def _host(last: Outcome) -> str:
    name = _one_line(last.host or "the next system", 255)
    return f"{name} [{last.address}]" if last.address else name


def advice_for(kind: Kind, last: Outcome | None) -> str:
    """What people can do about a failure, in a sentence; "" where nothing is to be done."""
    if kind is not Kind.FAILURE or last is None:
        return ""
    code = last.reply.enhanced or ("4.4.7" if last.status is Status.DEFERRED else "5.0.0")
    return next((advice for pattern, advice in _ADVICE if re.fullmatch(pattern, code, re.ASCII)), "")
