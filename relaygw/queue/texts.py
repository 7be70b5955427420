"""The operator's own texts for reports: templates in a folder, one per kind and language, `failure.de.txt`.

A text begins with fields, of which Subject and From (a display name) are known, then an empty line, then what people
read. Templates are Jinja2's in its sandbox, without loops over numbers, products of texts, or other files: what a
template can do wrong is to be wrong, and then the text that is built in is sent. All values are one line without
control characters; whoever makes the message encodes what comes out.
"""

import os
import re
import textwrap
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import attrs
from jinja2 import StrictUndefined, Template, TemplateError
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from relaygw.core.dsn import MAX_TEXT, Facts, Words, our_words
from relaygw.core.dsn_fields import mail_date, status_code
from relaygw.core.dsn_words import advice_for, readable_subject
from relaygw.core.headers import first
from relaygw.core.lifecycle import Kind
from relaygw.core.outcome import Status
from relaygw.core.record import RecipientState

MAX_FILE = 64 * 1024
"""Octets of a template."""

_NAME = re.compile(r"(?P<kind>[a-z]+)\.(?P<language>[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*)\.txt\Z")
_FIELD = re.compile(r"(Subject|From):[ \t]*(.*)\Z")
_RANGE = re.compile(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*\Z")
_KINDS = {kind.value: kind for kind in Kind}
_FILTERS = (
    "capitalize", "count", "default", "first", "groupby", "int", "join", "last", "length", "list", "lower", "map",
    "reject", "rejectattr", "replace", "round", "select", "selectattr", "sort", "title", "trim", "truncate", "unique",
    "upper", "wordcount",
)  # fmt: skip


class TextError(ValueError):
    """Texts cannot be used; `problems` has a sentence for each reason, with file and line."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja2 without what makes much out of little."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True, trim_blocks=True)
        self.globals = {}
        self.filters = {name: self.filters[name] for name in _FILTERS} | {"wrap": _wrap}

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if not all(isinstance(each, int | float) and abs(each) < 10**6 for each in (left, right)) or operator == "**":
            raise SecurityError(f"{operator} is for numbers only")
        return super().call_binop(context, operator, left, right)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Texts have methods that make much out of little, too (`center`, `format` …): none is offered."""
        return self.unsafe_undefined(obj, attribute) if isinstance(obj, str) else super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, str) and isinstance(argument, str):
            return self.unsafe_undefined(obj, argument)
        return super().getitem(obj, argument)


def _wrap(text: Any, width: int = 76, indent: str = "") -> str:
    """A paragraph in lines."""
    width = max(20, min(int(width), 200))
    return textwrap.fill(str(text)[:MAX_TEXT], width, initial_indent=indent[:20], subsequent_indent=indent[:20])


@attrs.frozen
class Text:
    """One file, read: templates for the fields that it has, and for the body."""

    file: str
    language: str
    body: Template
    subject: Template | None = None
    author: Template | None = None

    def words(self, facts: Facts) -> Words:
        """Raises TemplateError and what operations on values raise."""
        ours = our_words(facts)
        values = {**_values(facts), "text": ours.text, "title": ours.subject}
        return Words(
            subject=_rendered(self.subject, values) if self.subject else ours.subject,
            text=_rendered(self.body, values),
            author=_rendered(self.author, values) if self.author else ours.author,
            language=self.language,
        )


@attrs.frozen
class Texts:
    """All texts, by kind and language in lower case; `default` is the language of those who ask for none we have."""

    found: Mapping[tuple[Kind, str], Text] = attrs.field(factory=dict)
    default: str = "en"

    def choose(self, kind: Kind, head: bytes) -> Text | None:
        """The text for whoever wrote a message with this header section; None: the one built in."""
        for wanted in (*_wanted(head), self.default):
            for language in (wanted, wanted.partition("-")[0]):
                if (kind, language) in self.found:
                    return self.found[kind, language]
        return None


def load_texts(folder: str, default: str = "en") -> Texts:
    """The texts in a folder; raises TextError with everything that is wrong with them."""
    sandbox, problems = _Sandbox(), []
    found: dict[tuple[Kind, str], Text] = {}
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".txt") and not name.startswith("."))
    except OSError as error:
        raise TextError(f"{folder} cannot be read: {error.strerror}") from None
    for name in names:
        matched = _NAME.match(name)
        if matched is None or matched["kind"] not in _KINDS:
            kinds = ", ".join(_KINDS)
            problems.append(f"{name}: a text is called KIND.LANGUAGE.txt, and KIND is one of {kinds}")
            continue
        try:
            text = _read(sandbox, os.path.join(folder, name), matched["language"].lower())
        except TextError as error:
            problems += error.problems
        else:
            found[_KINDS[matched["kind"]], text.language] = text
    if problems:
        raise TextError(*problems)
    return Texts(found, default)


def _read(sandbox: _Sandbox, path: str, language: str) -> Text:
    try:
        with open(path, "rb") as file:
            source = file.read(MAX_FILE + 1).decode("utf-8-sig")
    except OSError as error:
        raise TextError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise TextError(f"{path} is not UTF-8") from None
    if len(source.encode()) > MAX_FILE:
        raise TextError(f"{path} has more than {MAX_FILE} octets")
    head, _, body = source.replace("\r\n", "\n").partition("\n\n")
    fields = {}
    for line in head.split("\n"):
        matched = _FIELD.match(line)
        if matched is None:
            raise TextError(
                f'{path}: it begins with "Subject: …" or "From: …" and an empty line, not with {line!r:.60}'
            )
        fields[matched[1]] = matched[2]
    lines = head.count("\n") + 2
    try:
        return Text(
            file=path,
            language=language,
            body=sandbox.from_string("\n" * lines + body),  # so that errors name the line of the file
            subject=sandbox.from_string(fields["Subject"]) if "Subject" in fields else None,
            author=sandbox.from_string(fields["From"]) if "From" in fields else None,
        )
    except TemplateError as error:
        raise TextError(f"{path}, line {getattr(error, 'lineno', 1)}: {error.message}") from None


def _rendered(template: Template, values: Mapping[str, Any]) -> str:
    """What the template says, and no more of it than fits."""
    pieces, size = [], 0
    for piece in template.generate(values):
        pieces.append(piece)
        size += len(piece)
        if size > MAX_TEXT:
            break
    return "".join(pieces).lstrip("\n")[:MAX_TEXT]


def _wanted(head: bytes) -> Iterator[str]:
    """The languages the author of a message reads, or else writes (RFC 3282)."""
    for name in (b"accept-language", b"content-language"):
        ranked = []
        for item in first(head, name)[:500].decode("ascii", "replace").split(",")[:20]:
            tag, _, parameters = item.strip().partition(";")
            quality = parameters.strip().removeprefix("q=") or "1"
            if _RANGE.match(tag.strip()) and re.fullmatch(r"[01](?:\.\d{0,3})?", quality) and float(quality):
                ranked.append((-float(quality), tag.strip().lower()))
        yield from (tag for _, tag in sorted(ranked, key=lambda each: each[0]))


def _values(facts: Facts) -> dict[str, Any]:
    """What a template may tell; docs/reports.md has the list."""
    record = facts.record
    return {
        "kind": facts.report.kind.value,
        "hostname": facts.by.hostname,
        "postmaster": _line(facts.by.postmaster),
        "sender": _line(str(record.envelope.sender or "")),
        "to": _line(str(facts.to)),
        "subject": readable_subject(facts.head),
        "message_id": _line(record.message_id),
        "queue_id": record.queue_id,
        "size": record.size,
        "arrived": mail_date(record.arrived),
        "until": datetime.fromtimestamp(facts.retry_until, UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "recipients": [_recipient(facts.report.kind, state) for state in facts.report.recipients],
    }


def _recipient(kind: Kind, state: RecipientState) -> dict[str, Any]:
    last = state.last
    return {
        "address": _line(str(state.address)),
        "original": _line(state.recipient.orcpt.partition(";")[2] or str(state.address)),
        "status": status_code(state),
        "host": _line(last.host) if last is not None else "",
        "said": _line(str(last.reply)) if last is not None and last.remote else "",
        "reason": _line(last.reply.text) if last is not None else "",
        "relayed": last is not None and last.status is Status.DELIVERED and last.remote and not last.final,
        "attempts": state.attempts,
        "advice": advice_for(kind, last),
    }


def _line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text[:900])
