"""The MIME structure of a message as offsets into its bytes (RFC 2045, RFC 2046), found by searching for delimiters.

Bounded in depth, parts and header size; hostile MIME never raises: what cannot be told apart any further is one part,
as a reader without MIME would see it. Pure. Line ends are CRLF or LF.
"""

from collections.abc import Iterator

import attrs

from relaygw.core.headers import fields
from relaygw.mailbox.imap.parameters import (
    Parameters,
    parameter,
    parse_disposition,
    parse_languages,
    parse_type,
    token,
)

MAX_DEPTH = 20
MAX_PARTS = 1000
MAX_HEADER = 256 * 1024
"""Octets of a part's header section that are looked at."""
MAX_BOUNDARY = 1000

_PLAIN: tuple[bytes, bytes, Parameters] = (b"text", b"plain", ((b"charset", b"us-ascii"),))
_MESSAGE: tuple[bytes, bytes, Parameters] = (b"message", b"rfc822", ())
_OPAQUE: tuple[bytes, bytes, Parameters] = (b"application", b"octet-stream", ())


@attrs.frozen(kw_only=True)
class Part:
    """One part. Header section with its empty line: [start, body); body: [body, end).

    `main`, `sub` and parameters as written. `children` of a multipart; `message` is what a message/rfc822 carries.
    """

    start: int
    body: int
    end: int
    main: bytes
    sub: bytes
    parameters: Parameters = ()
    content_id: bytes | None = None
    description: bytes | None = None
    encoding: bytes = b"7bit"
    md5: bytes | None = None
    disposition: tuple[bytes, Parameters] | None = None
    languages: tuple[bytes, ...] = ()
    location: bytes | None = None
    lines: int = 0
    children: "tuple[Part, ...]" = ()
    message: "Part | None" = None

    @property
    def size(self) -> int:
        """Octets of the body in its transfer encoding (RFC 3501 7.4.2)."""
        return self.end - self.body


def scan(data: bytes) -> Part:
    """The structure of a whole message."""
    return _Scanner(data).part(0, len(data), 0, _PLAIN)


def header_end(data: bytes, start: int, end: int) -> int:
    """Where the body begins: after the first empty line, or at `end` where there is none."""
    for empty in (b"\r\n", b"\n"):
        if data.startswith(empty, start, end):
            return start + len(empty)
    crlf = data.find(b"\n\r\n", start, end)
    bare = data.find(b"\n\n", start, end if crlf < 0 else crlf)
    if bare >= 0:
        return bare + 2
    return crlf + 3 if crlf >= 0 else end


@attrs.define
class _Scanner:
    """`count` is over the whole message, so that nesting does not multiply parts."""

    data: bytes
    count: int = 0

    def part(self, start: int, end: int, depth: int, default: tuple[bytes, bytes, Parameters]) -> Part:
        """The part in [start, end); `default` is its type where it names none (RFC 2046 5.1.5)."""
        self.count += 1
        body = header_end(self.data, start, end)
        part = self.described(start, body, end, default)
        kind = part.main.lower()
        deeper = depth < MAX_DEPTH and self.count < MAX_PARTS
        if kind == b"multipart":
            children = self.children(part, depth) if deeper else ()
            if children:
                return attrs.evolve(part, children=children)
            main, sub, parameters = _OPAQUE
            return attrs.evolve(part, main=main, sub=sub, parameters=parameters)
        if kind == b"message" and part.sub.lower() == b"rfc822":
            if not deeper:
                return attrs.evolve(part, main=_OPAQUE[0], sub=_OPAQUE[1])
            part = attrs.evolve(part, message=self.part(body, end, depth + 1, _PLAIN))
        return attrs.evolve(part, lines=self.data.count(b"\n", body, end))

    def described(self, start: int, body: int, end: int, default: tuple[bytes, bytes, Parameters]) -> Part:
        """The part with what its Content- fields say; the topmost of each counts."""
        said: dict[bytes, bytes] = {}
        head = self.data[start : min(body, start + MAX_HEADER)]
        if b"content-" in head.lower():
            for field in fields(head):
                name = field.name.lower()
                if name.startswith(b"content-"):
                    said.setdefault(name[8:], field.value)
        main, sub, parameters = parse_type(said[b"type"]) or _PLAIN if b"type" in said else default
        return Part(
            start=start,
            body=body,
            end=end,
            main=main,
            sub=sub,
            parameters=parameters,
            content_id=said.get(b"id"),
            description=said.get(b"description"),
            encoding=token(said.get(b"transfer-encoding", b"")) or b"7bit",
            md5=said.get(b"md5"),
            disposition=parse_disposition(said[b"disposition"]) if b"disposition" in said else None,
            languages=parse_languages(said.get(b"language", b"")),
            location=said.get(b"location"),
        )

    def children(self, part: Part, depth: int) -> tuple[Part, ...]:
        """The parts between the delimiters; () where there is no boundary or no delimiter."""
        boundary = parameter(part.parameters, b"BOUNDARY")
        if not boundary or len(boundary) > MAX_BOUNDARY:
            return ()
        default = _MESSAGE if part.sub.lower() == b"digest" else _PLAIN
        return tuple(
            self.part(start, end, depth + 1, default) for start, end in self.between(boundary, part.body, part.end)
        )

    def between(self, boundary: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Where each body part begins and ends. The line break before a delimiter belongs to it (RFC 2046 5.1.1)."""
        begun: int | None = None
        for line, after, closes in self.delimiters(b"--" + boundary, start, end):
            if begun is not None:
                yield begun, max(begun, self.before_break(line))
            if closes:
                return
            if begun is not None and self.count + 1 >= MAX_PARTS:
                yield after, end
                return
            begun = after
        if begun is not None:
            yield begun, end

    def before_break(self, line: int) -> int:
        """Where the line break before the line at `line` begins."""
        if self.data.startswith(b"\r\n", line - 2):
            return line - 2
        return line - 1

    def delimiters(self, delimiter: bytes, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
        """Each delimiter line: where it begins, where the next line begins, and whether it closes the multipart."""
        place = start
        while (found := self.data.find(delimiter, place, end)) >= 0:
            place = found + len(delimiter)
            if found > start and self.data[found - 1] != 0x0A:
                continue
            stop = self.data.find(b"\n", place, end)
            after = end if stop < 0 else stop + 1
            tail = self.data[place : min(after, place + 1000)]
            closes = tail.startswith(b"--")
            # Only white space may follow, or the line belongs to a longer boundary. After a close anything may.
            if not closes and tail.strip():
                continue
            yield found, after, closes
            place = after
