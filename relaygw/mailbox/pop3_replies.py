"""Replies on their way out: one line, many lines, a message; no faster than the peer reads."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import attrs

from relaygw.core.content import CHUNK
from relaygw.mailbox.maildir import StoredContent
from relaygw.mailbox.pop3_text import DotStuffer, Top, listing
from relaygw.mailbox.store import Store


class CutOff(Exception):
    """A message could not be read to its end, and its beginning is sent: only the end of the connection can say so."""


@attrs.frozen
class Replies:
    """`writable` answers when the peer has read enough, and raises what ends the session."""

    transport: Any  # ITransport
    writable: Callable[[], Awaitable[None]]
    store: Store

    def say(self, line: str) -> None:
        self.transport.write(line.encode("utf-8") + b"\r\n")

    def challenge(self, data: bytes) -> None:
        """What an exchange asks of the client (RFC 5034 4)."""
        self.transport.write(b"+ " + data + b"\r\n")

    async def list(self, heading: str, lines: Iterator[bytes]) -> None:
        """A multi-line reply of lines that never begin with a dot."""
        self.say(f"+OK {heading}")
        for piece in listing(line + b"\r\n" for line in lines):
            await self.writable()
            self.transport.write(piece)

    async def message(self, heading: str, content: StoredContent, top: Top | None = None) -> None:
        """A message as a multi-line reply, read as fast as the peer takes it; closes the content. Raises CutOff."""
        stuffer = DotStuffer()
        waiting = heading.encode("ascii") + b"\r\n"
        begun = False
        try:
            async for piece in self.store.read(content):
                waiting += stuffer.feed(piece if top is None else top.feed(piece))
                if top is not None and top.done:
                    break
                if len(waiting) >= CHUNK:
                    self.transport.write(waiting)
                    begun, waiting = True, b""
                    await self.writable()
        except OSError as error:
            if begun:
                raise CutOff(str(error)) from error
            raise
        finally:
            content.close()
        self.transport.write(waiting + stuffer.finish())
