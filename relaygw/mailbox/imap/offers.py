"""Whether the message an APPEND is about to bring is wanted: decided before the client sends it (RFC 3501 6.3.11)."""

from relaygw.mailbox.imap.commands import ALLOWED, Append, State
from relaygw.mailbox.imap.lines import Offered
from relaygw.mailbox.imap.parser import BadCommand, parse_command
from relaygw.mailbox.imap.session import Completion, Session, bad, no, refusal
from relaygw.mailbox.imap.tokens import StoredLiteral
from relaygw.mailbox.imap.upload import Upload
from relaygw.mailbox.names import canonical_folder
from relaygw.mailbox.values import StoreError


async def judge_offer(session: Session, offered: Offered) -> Completion | Upload:
    """Where to put the message, or the answer to the command if it is not wanted."""
    if session.state not in ALLOWED["APPEND"]:
        return bad("APPEND is not for this state")
    if offered.size > session.settings.max_append:
        return no(f"A message may have {session.settings.max_append} octets", b"TOOBIG")
    try:
        arguments = _read_ahead(offered)
        if not isinstance(arguments, Append):
            return bad("A literal is not expected here")
        if canonical_folder(arguments.name) not in await session.account.folders():
            return no("There is no such mailbox", b"TRYCREATE")
        return Upload(session.account.incoming())
    except BadCommand as error:
        return bad(error.reason)
    except (StoreError, OSError) as error:
        return refusal(error)


def bearable(session: Session, size: int) -> bool:
    """Whether we read through a message that is not wanted, to get at what follows (RFC 7888 4)."""
    return session.state is not State.UNAUTHENTICATED and size <= 2 * session.settings.max_append


def _read_ahead(offered: Offered) -> object:
    """The command as it will be if nothing follows the message."""
    stand_in = StoredLiteral(offered.size, None)
    return parse_command((*offered.texts, b""), (*offered.literals, stand_in)).arguments
