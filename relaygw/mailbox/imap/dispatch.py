"""From a Request to its command, and from whatever happens to one tagged answer."""

from collections.abc import Awaitable, Callable
from typing import Any

from relaygw.core.events import TaskFailed
from relaygw.mailbox.imap import access, fetching, mailboxes, messages, searching
from relaygw.mailbox.imap.commands import ALLOWED, Request
from relaygw.mailbox.imap.sequence import BadSequence
from relaygw.mailbox.imap.session import Completion, Gone, Session, bad, no, refusal
from relaygw.mailbox.values import StoreError

_COMMANDS: dict[str, Callable[[Session, Any], Awaitable[Completion]]] = {
    "APPEND": messages.append,
    "AUTHENTICATE": access.authenticate,
    "CAPABILITY": access.capability,
    "CHECK": access.noop,
    "CLOSE": mailboxes.close,
    "COPY": messages.copy,
    "CREATE": mailboxes.create,
    "DELETE": mailboxes.delete,
    "ENABLE": access.enable,
    "EXAMINE": mailboxes.examine,
    "EXPUNGE": messages.expunge,
    "FETCH": fetching.fetch,
    "ID": access.identify,
    "IDLE": access.idle,
    "LIST": mailboxes.list_,
    "LOGIN": access.login,
    "LOGOUT": access.logout,
    "LSUB": mailboxes.lsub,
    "MOVE": messages.move,
    "NAMESPACE": access.namespace,
    "NOOP": access.noop,
    "RENAME": mailboxes.rename,
    "SEARCH": searching.search,
    "SELECT": mailboxes.select,
    "STARTTLS": access.start_tls,
    "STATUS": mailboxes.status,
    "STORE": messages.store,
    "SUBSCRIBE": mailboxes.subscribe,
    "UNSELECT": mailboxes.unselect,
    "UNSUBSCRIBE": mailboxes.unsubscribe,
}

_BY_NUMBER = frozenset({"FETCH", "STORE", "SEARCH"})
"""While these are answered no EXPUNGE may be told: the client still counts by the old numbers (RFC 3501 7.4.1)."""


async def perform(session: Session, request: Request) -> Completion:
    """The tagged answer to a request; what belongs before it has been sent. Raises only Gone."""
    if session.state not in ALLOWED[request.name]:
        return bad(f"{request.name} is not for this state")
    try:
        completion = await _COMMANDS[request.name](session, request.arguments)
        await session.news(expunges=request.by_uid or request.name not in _BY_NUMBER)
    except Gone:
        raise
    except BadSequence as error:
        return bad(str(error))
    except (StoreError, OSError) as error:
        return refusal(error)
    except Exception as error:
        # The text of an unknown error may quote what a client sent: the journal gets its kind and place.
        session.settings.journal(
            TaskFailed(session=session.id, task=f"imap {request.name}", error=type(error).__qualname__)
        )
        return no("Something went wrong here; the operator is told", b"SERVERBUG")
    return completion
