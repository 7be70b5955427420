"""The commands of the TRANSACTION state, over one maildrop (RFC 1939 5, 7)."""

import attrs

from relaygw.mailbox.maildrop import Maildrop
from relaygw.mailbox.pop3_commands import parse_number
from relaygw.mailbox.pop3_replies import Replies
from relaygw.mailbox.pop3_text import Top


@attrs.frozen
class Transaction:
    """Arguments come as the client wrote them; errors are Refuse, NoSuchNumber and what the store raises."""

    drop: Maildrop
    replies: Replies

    async def do_STAT(self) -> None:
        self.replies.say("+OK {} {}".format(*self.drop.totals()))

    async def do_LIST(self, text: bytes | None = None) -> None:
        if text is not None:
            number = parse_number(text)
            self.replies.say(f"+OK {number} {self.drop.entry(number).size}")
            return
        heading = "{} messages ({} octets)".format(*self.drop.totals())
        await self.replies.list(heading, (b"%d %d" % (number, entry.size) for number, entry in self.drop.remaining()))

    async def do_UIDL(self, text: bytes | None = None) -> None:
        drop = self.drop
        if text is not None:
            number = parse_number(text)
            self.replies.say(f"+OK {number} {drop.unique_id(drop.entry(number)).decode('ascii')}")
            return
        lines = (b"%d %s" % (number, drop.unique_id(entry)) for number, entry in drop.remaining())
        await self.replies.list("unique ids follow", lines)

    async def do_RETR(self, text: bytes) -> None:
        content = await self.drop.content(self.drop.entry(parse_number(text)))
        await self.replies.message(f"+OK {content.size} octets", content)

    async def do_TOP(self, text: bytes, lines: bytes) -> None:
        entry, top = self.drop.entry(parse_number(text)), Top(parse_number(lines))
        await self.replies.message("+OK top of message follows", await self.drop.content(entry), top)

    async def do_DELE(self, text: bytes) -> None:
        self.drop.delete(parse_number(text))
        self.replies.say("+OK marked as deleted")

    async def do_RSET(self) -> None:
        self.drop.reset()
        self.replies.say("+OK nothing is marked as deleted")

    async def do_NOOP(self) -> None:
        self.replies.say("+OK")
