"""What a command is answered with: a Reply, or a Turn where more follows from it. The fixed words stand here."""

import enum

import attrs

from relaygw.core.reply import Reply


class Then(enum.Enum):
    """What the connection does after the reply."""

    NOTHING = "nothing"
    CLOSE = "close"
    TLS = "tls"


@attrs.frozen
class Turn:
    """`times`: how often the reply is said, where each recipient is owed one (RFC 2033 4.2)."""

    reply: Reply
    then: Then = Then.NOTHING
    times: int = 1


Answer = Reply | Turn

SENDER_OK = Reply(250, "2.1.0", "Sender ok")
RECIPIENT_OK = Reply(250, "2.1.5", "Recipient ok")
OK = Reply(250, "2.0.0", "Ok")
GO_AHEAD = Reply(354, "", "End data with <CR><LF>.<CR><LF>")
BINARY_WANTS_BDAT = Reply(503, "5.5.1", "BODY=BINARYMIME goes with BDAT")
WANTS_LHLO = Reply(500, "5.5.1", "This is LMTP: say LHLO")
NO_LHLO = Reply(500, "5.5.1", "This is SMTP: say EHLO")
GOODBYE = Turn(Reply(221, "2.0.0", "Goodbye"), Then.CLOSE)
START_TLS = Turn(Reply(220, "2.0.0", "Ready to start TLS"), Then.TLS)
CANNOT_VERIFY = Reply(252, "2.0.0", "Cannot verify, but will take mail for it")
NO_EXPN = Reply(502, "5.5.1", "Mailing lists are not shown")
HELP = Reply(214, "2.0.0", "This is an ESMTP server, RFC 5321; EHLO tells what it offers")

WANTS_ARGUMENT = Reply(501, "5.5.4", "An argument is wanted")
UNKNOWN = Reply(500, "5.5.1", "Command not recognized")
NO_ARGUMENT = Reply(501, "5.5.4", "No argument is allowed")
BARE = Reply(500, "5.5.2", "Lines end with <CR><LF>; the rest of this one is ignored")
LONG = Reply(500, "5.5.6", "Line too long; the rest of it is ignored")
TOO_EARLY = Turn(Reply(554, "5.5.0", "Wait for the greeting"), Then.CLOSE)
TOO_MANY_ERRORS = Turn(Reply(421, "4.7.0", "Too many errors"), Then.CLOSE)
TOO_MANY_MESSAGES = Turn(Reply(421, "4.7.0", "Enough messages in one session, connect again"), Then.CLOSE)
TOO_MANY_UNKNOWN = Turn(Reply(421, "4.7.0", "Too many recipients that do not exist"), Then.CLOSE)
TOO_MANY_RECIPIENTS = Reply(452, "4.5.3", "Too many recipients; send the rest in another transaction")
TOO_BIG = Reply(552, "5.3.4", "The message is larger than this server takes")
NO_SUCH_USER = Reply(550, "5.1.1", "No such mailbox here")
LOCAL_FAILURE = Reply(451, "4.3.0", "Local failure, try again later")
CANNOT_GREET = Turn(Reply(421, "4.3.0", "Local failure, try again later"), Then.CLOSE)
SHUTDOWN = Turn(Reply(421, "4.3.2", "Shutting down, try again later"), Then.CLOSE)
TIMEOUT = Turn(Reply(421, "4.4.2", "Timeout"), Then.CLOSE)
SESSION_OVER = Turn(Reply(421, "4.4.2", "This session took long enough, connect again"), Then.CLOSE)
SHUT = Reply(421, "4.7.0", "Connections from your address are refused for now, try again later")
NOT_FOR_YOU = Reply(554, "5.7.1", "This service is not for your network")
BUSY = Reply(421, "4.7.0", "Too many connections, try again later")

NO_TLS = Reply(502, "5.5.1", "TLS is not offered")
UNDER_TLS = Reply(503, "5.5.1", "TLS is active already")
NOTHING_AFTER_STARTTLS = Turn(Reply(501, "5.5.1", "Nothing may follow STARTTLS before its answer"), Then.CLOSE)

NO_AUTH = Reply(502, "5.5.1", "AUTH is not offered")
AUTH_WANTS_TLS = Reply(530, "5.7.0", "Must issue a STARTTLS command first")
AUTH_DONE = Reply(503, "5.5.1", "Already authenticated")
NO_MECHANISM = Reply(504, "5.5.4", "This mechanism is not offered")
AUTH_SYNTAX = Reply(501, "5.5.4", "Syntax: AUTH mechanism [initial-response]")
LOGGED_IN = Reply(235, "2.7.0", "Authentication successful")

FOREIGN = frozenset({"GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "DELETE"})
"""What browsers say."""


def unknown(verb: str) -> Answer:
    """A browser that was talked into speaking to us is sent away: the body it sends must not become commands."""
    return Turn(UNKNOWN, Then.CLOSE) if verb in FOREIGN else UNKNOWN
