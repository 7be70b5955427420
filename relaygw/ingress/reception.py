"""One message on its way in: octets from the wire into a sink, and what is wrong with them once they have ended.

Whatever is wrong, the data is read to its end: an answer before it would turn the rest of a message into commands.
What will not be kept is not stored, so that a refused message costs neither memory nor disk.
"""

from relaygw.core.content import MAX_FIELDS, MAX_HEADER, Content
from relaygw.core.line_ends import has_bare
from relaygw.core.reply import Reply
from relaygw.ingress.answers import LOCAL_FAILURE, TOO_BIG
from relaygw.ingress.decoding import Chunks, Decoder
from relaygw.ingress.repairing import Normalizer
from relaygw.interfaces import ISink, SpoolError

BARE_LINE_END = Reply(550, "5.6.11", "The message holds a bare CR or LF")
NUL_OCTET = Reply(550, "5.6.11", "The message holds a NUL octet")
LONG_HEADER = Reply(552, "5.3.4", "The header section is too large")
MANY_FIELDS = Reply(552, "5.3.4", "The header section has too many fields")
FOLDED_START = Reply(550, "5.6.0", "The message begins with a continuation line")


class Reception:
    """`limit` in octets of content. `error` is what the sink said when it failed, "" otherwise. What is `binary` may
    hold any octet behind its header section."""

    def __init__(self, sink: ISink, limit: int, decoder: Decoder | Chunks | None = None, binary: bool = False) -> None:
        self.sink = sink
        self.error = ""
        self.refusal: Reply | None = None
        self._limit = limit
        self._decoder = decoder or Decoder()
        self._binary = binary
        self._size = 0

    @property
    def repaired(self) -> bool:
        """Whether a bare LF was taken for a line end."""
        return isinstance(self._decoder, Normalizer) and self._decoder.repaired

    def feed(self, data: bytes) -> bytes | None:
        """The next octets; what follows the end of the data, or None before it."""
        piece = self._decoder.feed(data)
        if piece.content:
            self._store(piece.content)
        return piece.rest

    def _store(self, content: bytes) -> None:
        self._size += len(content)
        if self.refusal is not None:
            if self._size > self._limit and self.refusal is not LOCAL_FAILURE:
                self.refusal = TOO_BIG  # in whatever pieces it comes
            return
        if self._size > self._limit:
            self._give_up(TOO_BIG)
        elif self._decoder.bare and not self._binary:
            self._give_up(BARE_LINE_END)
        elif self._decoder.nul and not self._binary:
            self._give_up(NUL_OCTET)
        else:
            try:
                self.sink.write(content)
            except SpoolError as error:
                self.error = str(error)
                self._give_up(LOCAL_FAILURE)

    def _give_up(self, reply: Reply) -> None:
        self.refusal = reply
        self.sink.abort()

    def flaw(self) -> Reply | None:
        """After the end: why the message is refused, None where it is sound."""
        if self.refusal is None:
            self._decoder.finish()
            ends_bare = self._decoder.bare and not self._binary
            refusal = BARE_LINE_END if ends_bare else head_flaw(self.sink.content(), self._binary)
            if refusal is not None:
                self._give_up(refusal)
        return self.refusal


def head_flaw(content: Content, binary: bool) -> Reply | None:
    """Why a message is refused for its header section, None where it is sound."""
    head = content.head
    if len(head) >= MAX_HEADER:
        return LONG_HEADER
    if head.count(b"\n") - head.count(b"\n ") - head.count(b"\n\t") > MAX_FIELDS:
        return MANY_FIELDS
    if binary:  # which the body alone may be (RFC 3030 3)
        if has_bare(head):
            return BARE_LINE_END
        if b"\0" in head:
            return NUL_OCTET
    # It would continue the last field that we put on top.
    return FOLDED_START if head[:1] in (b" ", b"\t") else None
