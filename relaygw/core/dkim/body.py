"""The hashes of one body in every form its signatures ask for (RFC 6376 3.4.3, 3.4.4, l= in 3.5), fed in pieces.

However many signatures there are, a body is brought into each of the two forms once. Memory does not grow with it.
"""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from relaygw.core.dkim_signature import RelaxedBody, Sink

_SLICE = 64 * 1024
"""Octets worked on at a time: other threads, and the reactor's, have their turn between them."""

_BLANK = b"\r\n" * 4096


class Wanted(NamedTuple):
    """One hash: the canonical form, and how many octets of it count (None: all)."""

    form: str
    length: int | None = None


class _Limited:
    """The hash of the first `limit` octets; None: of all."""

    def __init__(self, limit: int | None) -> None:
        self._hash = hashlib.sha256()
        self._left = limit

    def update(self, data: bytes) -> None:
        if self._left is None:
            self._hash.update(data)
        elif self._left:
            data = data[: self._left]
            self._left -= len(data)
            self._hash.update(data)

    def digest(self) -> bytes:
        return self._hash.digest()


class _Several:
    """Hands what it gets to several hashes, and counts it."""

    def __init__(self, limits: Iterable[int | None]) -> None:
        self.hashes = {limit: _Limited(limit) for limit in limits}
        self.size = 0

    def update(self, data: bytes) -> None:
        self.size += len(data)
        for each in self.hashes.values():
            each.update(data)


class SimpleBody:
    """A body in simple canonical form (RFC 6376 3.4.3), fed in pieces: empty lines at its end become one line end."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._lines = 0  # line ends seen and not yet handed on
        self._carry = b""

    def feed(self, data: bytes) -> None:
        if self._carry:
            data, self._carry = self._carry + data, b""
        if data.endswith(b"\r"):
            data, self._carry = data[:-1], b"\r"
        end = _before_blank(data)
        if end:
            self._hand_on_lines()
            self._sink.update(data[:end] if end < len(data) else data)
        self._lines += (len(data) - end) // 2

    def finish(self) -> None:
        if self._carry:
            self._hand_on_lines()
            self._sink.update(self._carry)
        self._sink.update(b"\r\n")

    def _hand_on_lines(self) -> None:
        while self._lines > 0:
            now = min(self._lines, 4096)
            self._sink.update(_BLANK[: 2 * now])
            self._lines -= now


def _before_blank(data: bytes) -> int:
    """Where the run of CRLF at the end of the data begins."""
    end = len(data.rstrip(b"\r\n"))
    tail = data[end:]
    if len(tail) % 2 == 0 and tail == b"\r\n" * (len(tail) // 2):
        return end
    end = len(data)  # a bare CR or LF is among them: rare, and looked at step by step
    while data.endswith(b"\r\n", 0, end):
        end -= 2
    return end


class _Form(Protocol):
    def feed(self, data: bytes) -> None: ...
    def finish(self) -> None: ...


class BodyHashes:
    """Feed it the body from its first octet, then ask `digest` for each hash that was wanted."""

    def __init__(self, wanted: Iterable[Wanted]) -> None:
        limits: dict[str, set[int | None]] = {}
        for each in wanted:
            limits.setdefault(each.form, set()).add(each.length)
        self._outputs = {form: _Several(those) for form, those in limits.items()}
        self._forms: list[_Form] = [
            SimpleBody(output) if form == "simple" else RelaxedBody(output) for form, output in self._outputs.items()
        ]
        self._finished = False

    @property
    def needed(self) -> bool:
        """Whether any hash is wanted at all."""
        return bool(self._forms)

    def feed(self, data: bytes) -> None:
        """The next octets, however many; long pieces are worked on a slice at a time."""
        if len(data) <= _SLICE:
            for form in self._forms:
                form.feed(data)
            return
        view = memoryview(data)
        for start in range(0, len(data), _SLICE):
            self.feed(bytes(view[start : start + _SLICE]))

    def finish(self) -> None:
        """The body has ended."""
        if not self._finished:
            self._finished = True
            for form in self._forms:
                form.finish()

    def digest(self, wanted: Wanted) -> bytes:
        """After `finish`."""
        return self._outputs[wanted.form].hashes[wanted.length].digest()

    def size(self, form: str) -> int:
        """Octets of the whole body in this form, after `finish`."""
        return self._outputs[form].size
