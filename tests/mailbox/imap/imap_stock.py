"""Twisted's own IMAP4 server over messages in memory, to show what ours does differently. No more than it needs."""

import email
from io import BytesIO
from typing import Any

from imap_harness import SecurableWire
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred, succeed
from twisted.mail import imap4
from zope.interface import implementer


@implementer(imap4.IMessage)
class StockMessage:
    """A message by way of the email package, as its users write it."""

    def __init__(self, parsed: Any, number: int, flags: list[str]) -> None:
        self.parsed, self.number, self.flags = parsed, number, flags

    def getUID(self) -> int:
        return self.number

    def getFlags(self) -> list[str]:
        return self.flags

    def getInternalDate(self) -> str:
        return "Mon, 01 Jan 2024 00:00:00 +0000"

    def getHeaders(self, negate: bool, *names: str) -> dict[str, str]:
        wanted = [name.lower() for name in names]
        items = ((name.lower(), value) for name, value in self.parsed.items())
        return {name: value for name, value in items if not wanted or (name in wanted) != bool(negate)}

    def getBodyFile(self) -> BytesIO:
        payload = self.parsed.get_payload()
        return BytesIO(payload.encode("latin-1") if isinstance(payload, str) else b"")

    def getSize(self) -> int:
        return len(self.parsed.as_string())

    def isMultipart(self) -> bool:
        return bool(self.parsed.is_multipart())

    def getSubPart(self, part: int) -> "StockMessage":
        return StockMessage(self.parsed.get_payload(part), part + 1, [])


@implementer(imap4.IMailbox)
class StockMailbox:
    def __init__(self, messages: tuple[bytes, ...]) -> None:
        parsed = (email.message_from_string(data.decode("latin-1")) for data in messages)
        self.messages = [StockMessage(one, number, []) for number, one in enumerate(parsed, 1)]
        self.listeners: list[Any] = []

    def getFlags(self) -> list[str]:
        return ["\\Seen", "\\Deleted"]

    def getHierarchicalDelimiter(self) -> str:
        return "/"

    def getUIDValidity(self) -> int:
        return 1

    def getUIDNext(self) -> int:
        return len(self.messages) + 1

    def getUID(self, number: int) -> int:
        return number

    def getMessageCount(self) -> int:
        return len(self.messages)

    def getRecentCount(self) -> int:
        return 0

    def getUnseenCount(self) -> int:
        return sum("\\Seen" not in one.flags for one in self.messages)

    def isWriteable(self) -> bool:
        return True

    def destroy(self) -> None:
        pass

    def requestStatus(self, names: list[str]) -> Any:
        return imap4.statusRequestHelper(self, names)

    def addListener(self, listener: Any) -> bool:
        self.listeners.append(listener)
        return True

    def removeListener(self, listener: Any) -> bool:
        self.listeners.remove(listener)
        return True

    def addMessage(self, message: Any, flags: Any = (), date: Any = None) -> Any:
        parsed = email.message_from_string(message.read().decode("latin-1"))
        self.messages.append(StockMessage(parsed, len(self.messages) + 1, list(flags)))
        return succeed(None)

    def expunge(self) -> list[int]:
        return []

    def fetch(self, messages: Any, uid: bool) -> list[tuple[int, StockMessage]]:
        messages.last = len(self.messages)
        return [(number, self.messages[number - 1]) for number in messages]

    def store(self, messages: Any, flags: Any, mode: int, uid: bool) -> dict[int, list[str]]:
        messages.last = len(self.messages)
        for number in messages:
            self.messages[number - 1].flags += list(flags)
        return {number: self.messages[number - 1].flags for number in messages}


@implementer(imap4.IAccount)
class StockAccount(imap4.MemoryAccount):
    def __init__(self, messages: tuple[bytes, ...]) -> None:
        super().__init__("alice")
        self.inbox = StockMailbox(messages)
        self.addMailbox("INBOX", self.inbox)

    def _emptyMailbox(self, name: str, id: int) -> StockMailbox:  # noqa: A002  Twisted's
        return StockMailbox(())


@implementer(IRealm)
class StockRealm:
    """Answers after `hold` fires, where there is one."""

    def __init__(self, account: StockAccount) -> None:
        self.account = account
        self.hold: Deferred[None] | None = None

    def requestAvatar(self, name: Any, mind: Any, *interfaces: Any) -> Any:
        answer = (imap4.IAccount, self.account, lambda: None)
        if self.hold is None:
            return answer
        return self.hold.addCallback(lambda _: answer)


def at_once(steps: Any) -> Any:
    """Instead of one step for each turn of the reactor."""
    for _ in steps:
        pass
    return succeed(None)


class Stock:
    """A connection to the stock server, logged in on demand."""

    def __init__(self, *messages: bytes, context: object = None) -> None:
        self.account = StockAccount(messages)
        self.realm = StockRealm(self.account)
        checker = InMemoryUsernamePasswordDatabaseDontUse(alice=b"secret")
        self.server = imap4.IMAP4Server(contextFactory=context, scheduler=at_once)
        self.server.portal = Portal(self.realm, [checker])
        self.server.callLater = lambda *args: None
        self.server.setTimeout = lambda period: None
        self.wire = SecurableWire()
        self.server.makeConnection(self.wire)
        self.wire.clear()

    def say(self, data: bytes) -> bytes:
        self.server.dataReceived(data)
        answer = self.wire.value()
        self.wire.clear()
        return answer

    def select(self) -> "Stock":
        self.say(b"l LOGIN alice secret\r\n")
        self.say(b"s SELECT INBOX\r\n")
        return self
