"""Bytes from the wire → commands: a line with its literals collected into one (RFC 3501 4.3, 7; RFC 7888).

Pure: fed with bytes in any pieces, asked for what is complete, and bounded whatever comes. It knows no command but
APPEND, whose message is offered to the server before it is taken, and then written to a sink, not to memory. Only CRLF
ends a line. What is refused is skipped to the command's very end, so that no octet of it is ever read as a command.
"""

import enum
import re
from typing import Protocol

import attrs

from relaygw.mailbox.imap.tokens import Literal, StoredLiteral

MAX_LINE = 64 * 1024
"""Octets of text in one command, literals apart (RFC 7162 4 asks for 8 KB; long sequence sets need more)."""
MAX_LITERALS = 64 * 1024
"""Octets of all literals of one command together, an APPEND's message apart."""
MAX_LITERAL_COUNT = 200
UNBOUNDED = 2**63
"""Stands for a literal size with more digits than anybody means."""

_APPEND = re.compile(rb"[^ ]+ APPEND (.*)\Z", re.IGNORECASE | re.DOTALL)
_KEEP = 64
"""Octets kept of a line being skipped: enough to see whether it ends in a literal."""


class Sink(Protocol):
    """Where the message of an APPEND goes."""

    def write(self, data: bytes) -> object: ...


class Fault(enum.Enum):
    """Why a command was skipped."""

    LINE = "the command line is too long"
    LITERAL = "a literal is too long"


@attrs.frozen
class Collected:
    """A whole command; see tokens.Cursor for the two sequences."""

    texts: tuple[bytes, ...]
    literals: tuple[Literal, ...]


@attrs.frozen
class Continue:
    """The client waits for a continuation request before it sends a literal."""


@attrs.frozen
class Offered:
    """An APPEND is about to bring its message. Answer with `take` or `skip`. `waits`: the client waits for "+"."""

    texts: tuple[bytes, ...]
    literals: tuple[Literal, ...]
    size: int
    waits: bool


@attrs.frozen
class Skipped:
    """A command too large to be read has been passed over; `start` is how it began."""

    start: bytes
    fault: Fault


class _Mode(enum.Enum):
    LINE = enum.auto()
    LITERAL = enum.auto()
    OFFERED = enum.auto()
    SKIP_LINE = enum.auto()
    SKIP_LITERAL = enum.auto()


class CommandReader:
    """One connection's incoming bytes."""

    def __init__(self, max_line: int = MAX_LINE, max_literals: int = MAX_LITERALS) -> None:
        self._max_line = max_line
        self._max_literals = max_literals
        self._buffer = bytearray()
        self._begin()

    def _begin(self) -> None:
        self._mode = _Mode.LINE
        self._scanned = 0
        self._texts: list[bytes] = []
        self._literals: list[Literal] = []
        self._text_size = 0
        self._literal_size = 0
        self._left = 0
        self._sink: Sink | None = None
        self._message_size = 0
        self._offer: Offered | None = None
        self._fault: Fault | None = None

    @property
    def buffered(self) -> int:
        """Octets fed and not yet read."""
        return len(self._buffer)

    @property
    def begun(self) -> bool:
        """Whether part of a command has been taken in."""
        return bool(self._texts) or self._mode is not _Mode.LINE or bool(self._buffer)

    def feed(self, data: bytes) -> None:
        """More from the client."""
        self._buffer += data

    def drop(self) -> int:
        """Forget everything not yet read; answers how many octets that were."""
        dropped = len(self._buffer)
        self._buffer.clear()
        self._begin()
        return dropped

    def line(self, limit: int) -> bytes | None:
        """A bare line, outside of any command (SASL responses, DONE); None: not complete. Longer ones are cut short."""
        end = self._buffer.find(b"\r\n")
        if end < 0:
            if len(self._buffer) > limit + _KEEP:
                del self._buffer[limit + 1 : -1]
            return None
        line = bytes(self._buffer[: min(end, limit + 1)])
        del self._buffer[: end + 2]
        return line

    def next(self) -> Collected | Continue | Offered | Skipped | None:
        """What is complete; None: more bytes are needed (or, after Offered, an answer)."""
        while True:
            before = (self._mode, self._left, len(self._buffer))
            event = self._advance()
            if event is not None or before == (self._mode, self._left, len(self._buffer)):
                return event

    def _advance(self) -> Collected | Continue | Offered | Skipped | None:
        if self._mode is _Mode.LINE:
            return self._read_line()
        if self._mode is _Mode.LITERAL:
            self._read_literal()
        elif self._mode is _Mode.SKIP_LINE:
            return self._skip_line()
        elif self._mode is _Mode.SKIP_LITERAL:
            self._skip_literal()
        return None

    def take(self, sink: Sink) -> None:
        """The offered message is wanted, in `sink`; it becomes the StoredLiteral's handle."""
        offer = self._answered()
        self._sink = sink
        self._left = self._message_size = offer.size
        self._mode = _Mode.LITERAL
        self._finish_literal()

    def skip(self) -> None:
        """The offered message is not wanted. If the client does not wait, the rest of the command is passed over."""
        offer = self._answered()
        if offer.waits:
            self._begin()
            return
        self._left = offer.size
        self._mode = _Mode.SKIP_LITERAL

    def _answered(self) -> Offered:
        if self._offer is None:
            raise RuntimeError("no message was offered")
        offer, self._offer = self._offer, None
        return offer

    def _read_line(self) -> Collected | Continue | Offered | Skipped | None:
        room = self._max_line - self._text_size
        end = self._buffer.find(b"\r\n", self._scanned, room + 2)
        if end < 0:
            self._scanned = max(0, len(self._buffer) - 1)
            if len(self._buffer) > room + 1:
                self._refuse(Fault.LINE, bytes(self._buffer[:_KEEP]))
            return None
        text = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        self._scanned = 0
        self._text_size += end
        announced = literal_size(text)
        if announced is None:
            return self._complete(text)
        size, waits = announced
        self._texts.append(text[: text.rindex(b"{")])
        return self._announced(size, waits)

    def _complete(self, text: bytes) -> Collected:
        collected = Collected((*self._texts, text), tuple(self._literals))
        self._begin()
        return collected

    def _announced(self, size: int, waits: bool) -> Continue | Offered | Skipped | None:
        if self._brings_message():
            self._mode = _Mode.OFFERED
            self._offer = Offered(tuple(self._texts), tuple(self._literals), size, waits)
            return self._offer
        self._literal_size += size
        if self._literal_size > self._max_literals or len(self._literals) >= MAX_LITERAL_COUNT:
            return self._refuse_literal(size, waits)
        self._mode = _Mode.LITERAL
        self._left = size
        return Continue() if waits else None

    def _refuse_literal(self, size: int, waits: bool) -> Skipped | None:
        self._refuse(Fault.LITERAL, self._texts[0][:_KEEP])
        if waits:
            return self._skipped()
        self._mode = _Mode.SKIP_LITERAL
        self._left = size
        return None

    def _refuse(self, fault: Fault, start: bytes) -> None:
        if not self._texts:
            self._texts = [start]
        self._fault = fault
        self._mode = _Mode.SKIP_LINE

    def _brings_message(self) -> bool:
        if any(isinstance(literal, StoredLiteral) for literal in self._literals):
            return False
        found = _APPEND.match(self._texts[0])
        return found is not None and (bool(self._literals) or bool(found.group(1).strip()))

    def _read_literal(self) -> None:
        if self._sink is None and len(self._buffer) < self._left:
            return
        piece = bytes(self._buffer[: self._left])
        if self._sink is not None:
            self._sink.write(piece)
        else:
            self._literals.append(piece)
        del self._buffer[: len(piece)]
        self._left -= len(piece)
        self._finish_literal()

    def _finish_literal(self) -> None:
        if self._left:
            return
        if self._sink is not None:
            self._literals.append(StoredLiteral(self._message_size, self._sink))
            self._sink = None
        self._mode = _Mode.LINE

    def _skip_line(self) -> Skipped | None:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            if len(self._buffer) > _KEEP:
                del self._buffer[:-_KEEP]
            return None
        announced = literal_size(bytes(self._buffer[max(0, end - _KEEP) : end]))
        del self._buffer[: end + 2]
        if announced is None or announced[1]:
            return self._skipped()
        self._left = announced[0]
        self._mode = _Mode.SKIP_LITERAL
        return None

    def _skip_literal(self) -> None:
        skipped = min(self._left, len(self._buffer))
        del self._buffer[:skipped]
        self._left -= skipped
        if not self._left:
            self._mode = _Mode.SKIP_LINE

    def _skipped(self) -> Skipped | None:
        start, fault = self._texts[0][:_KEEP], self._fault
        self._begin()
        return Skipped(start, fault) if fault is not None else None


def literal_size(line: bytes) -> tuple[int, bool] | None:
    """Size and "the client waits" of the literal announced at the end of a line; None where there is none."""
    if not line.endswith(b"}"):
        return None
    digits = line[line.rfind(b"{") + 1 : -1] if b"{" in line else b""
    waits = not digits.endswith(b"+")
    digits = digits if waits else digits[:-1]
    if not digits.isdigit():
        return None
    digits = digits.lstrip(b"0") or b"0"
    return (int(digits) if len(digits) <= 15 else UNBOUNDED), waits
