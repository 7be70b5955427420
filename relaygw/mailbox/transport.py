"""Final delivery into Maildirs: one durable file per recipient, Return-Path and Delivered-To on top (RFC 5321 4.4).

Two recipients that end in one mailbox get a copy each: every copy says in Delivered-To (RFC 9228) for which address
it came, and what a crash may repeat stays one recipient's. What goes wrong is temporary, with an enhanced code that
tells an operator where to look; only a mailbox that does not exist is permanent.
"""

import errno
from collections.abc import Iterator, Sequence

import attrs
from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from zope.interface import implementer

from relaygw.bridge import resolve
from relaygw.core.address import Address
from relaygw.core.binary_parts import as_text
from relaygw.core.content import Content
from relaygw.core.envelope import Body
from relaygw.core.outcome import Outcome, Status, deferred, failed
from relaygw.core.record import RecipientState, Route
from relaygw.core.reply import Reply
from relaygw.core.trace import delivered_to, return_path
from relaygw.interfaces import Account, Attempt, IOneDestination, IRouteChecker, ITransport, Options, Services
from relaygw.mailbox.names import canonical_folder
from relaygw.mailbox.values import INBOX
from relaygw.plugins import OptionsError, structure_options

_log = Logger()

_FULL = {
    errno.ENOSPC: ("4.3.1", "the mail system's disk is full"),
    errno.EDQUOT: ("4.2.2", "the mailbox is full"),
    errno.EFBIG: ("4.2.3", "the mailbox cannot take a message of this size"),
    errno.EROFS: ("4.3.0", "the mailbox cannot be written"),
    errno.EACCES: ("4.3.0", "the mailbox cannot be written"),
    errno.EPERM: ("4.3.0", "the mailbox cannot be written"),
}


@attrs.frozen(kw_only=True)
class MaildirOptions:
    """`folder` is where messages go, made when it is not there. `tag_folder`: what is for name+tag goes to the folder
    called as the tag, where the owner has made one."""

    folder: str = INBOX
    tag_folder: bool = False

    def __attrs_post_init__(self) -> None:
        canonical_folder(self.folder)


@implementer(ITransport, IOneDestination, IRouteChecker)
class MaildirTransport:
    """Uses the directory and the store of Services. A route's parameters stand above the options."""

    def __init__(self, options: Options, services: Services) -> None:
        structure_options(MaildirOptions, options)
        self._options = dict(options)
        self._by_route: dict[Route, MaildirOptions] = {}
        self._delimiter = services.settings.aliases.delimiter if services.settings is not None else "+"
        self._directory = services.directory
        self._store = services.store

    def destination(self, route: Route, recipient: Address) -> str:
        """All mailboxes are one destination: what they share is a disk."""
        return "maildir"

    def check(self, route: Route) -> tuple[str, ...]:
        """What is wrong with the parameters of a route."""
        try:
            structure_options(MaildirOptions, self._options | dict(route.parameters))
        except OptionsError as error:
            return error.problems
        return ()

    def _wanted(self, route: Route) -> MaildirOptions:
        found = self._by_route.get(route)
        if found is None:
            found = structure_options(MaildirOptions, self._options | dict(route.parameters))
            self._by_route[route] = found
        return found

    async def _folder(self, route: Route, address: Address, mailbox: str) -> str:
        """Where mail for the address goes. A folder is never made because a stranger has named it."""
        wanted = self._wanted(route)
        if wanted.tag_folder:
            cuts = [place for sign in self._delimiter if (place := address.local.find(sign)) > 0]
            tag = address.local[min(cuts) + 1 :] if cuts else ""
            if tag and (found := await self._store.folder_like(mailbox, tag)):
                return str(found)
        return canonical_folder(wanted.folder)

    async def deliver(self, attempt: Attempt) -> tuple[Outcome, ...]:
        """One after the other, so that a message of many local recipients does not take every thread."""
        outcomes: list[Outcome] = []
        try:
            for recipient in attempt.recipients:
                outcomes.append(await self._deliver(attempt, recipient))
        except CancelledError:
            # What was delivered stays delivered: the rest is for the next attempt.
            outcomes.extend(_cut_short(attempt.recipients[len(outcomes) :]))
        return tuple(outcomes)

    async def _deliver(self, attempt: Attempt, state: RecipientState) -> Outcome:
        address = state.address
        try:
            account: Account | None = await resolve(self._directory.account(address))
            if account is None:
                return failed(address, "5.1.1", "there is no such mailbox here")
            top = return_path(attempt.record.envelope.sender) + delivered_to(address)
            binary = attempt.record.envelope.body is Body.BINARY
            folder = await self._folder(attempt.route, address, account.mailbox)
            await self._store.deliver(account.mailbox, _with_top(top, attempt.content, binary), folder)
        except CancelledError:
            raise
        except OSError as error:
            return deferred(address, *_reason(error))
        except Exception:
            _log.failure("local delivery failed")
            return deferred(address, "4.3.0", "local delivery failed")
        return Outcome(recipient=address, status=Status.DELIVERED, reply=Reply(250, "2.1.5", "delivered"))

    async def stop(self) -> None:
        """Nothing is kept open: the store is closed by whoever made it."""


def _cut_short(states: Sequence[RecipientState]) -> list[Outcome]:
    """The first of them was under way in a thread, and may yet arrive."""
    outcomes = [deferred(state.address, "4.3.0", "local delivery was cut short") for state in states]
    return [attrs.evolve(outcome, uncertain=number == 0) for number, outcome in enumerate(outcomes)]


def _reason(error: OSError) -> tuple[str, str]:
    """What the sender may read: never a path."""
    return _FULL.get(error.errno or 0, ("4.3.0", "the mailbox cannot be written"))


def _with_top(top: bytes, content: Content, binary: bool) -> Iterator[bytes]:
    """Nobody could read binary parts from a mailbox as they are: IMAP and POP3 give out lines."""
    yield top
    yield from as_text(content.chunks()) if binary else content.chunks()
