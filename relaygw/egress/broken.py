"""Why a conversation with a next hop ended before it was over: one exception, with the reply it stands for.

Every phase names itself in the words of the log. What the failure means for recipients is decided by whoever catches
it; here is only what happened.
"""

import enum

from relaygw.core.reply import Reply


class Phase(enum.Enum):
    """Where the conversation stood; the value completes "… while"."""

    CONNECT = "connecting"
    GREETING = "waiting for the greeting"
    HELLO = "waiting for the answer to EHLO"
    STARTTLS = "waiting for the answer to STARTTLS"
    HANDSHAKE = "negotiating TLS"
    AUTH = "logging in"
    ENVELOPE = "sending the envelope"
    CONTENT = "sending the message"
    END = "waiting for the final reply"
    IDLE = "waiting between messages"


class Broken(Exception):
    """`reply` is the server's own (`remote`) or ours. `closed`: the server went away, of itself or after a 421.

    `result` is what TLS reports call it where TLS is what failed (RFC 8460 4.3), else "". `resuming`: a session of an
    earlier connection was offered in the handshake that failed. `source` and `helo` are those of the connection.
    `ours`: it is for want of something here, and says nothing about the host.
    """

    def __init__(self, phase: Phase, reply: Reply, *, remote: bool = False, closed: bool = False) -> None:
        super().__init__(str(reply))
        self.phase = phase
        self.reply = reply
        self.remote = remote
        self.closed = closed
        self.result = ""
        self.resuming = self.ours = False
        self.source = self.helo = ""


def broken(
    phase: Phase, enhanced: str, text: str, *, closed: bool = False, result: str = "", ours: bool = False
) -> Broken:
    """A failure found by ourselves: temporary, as everything that was not decided."""
    failure = Broken(phase, Reply(451, enhanced, f"{text} while {phase.value}"), closed=closed)
    failure.result, failure.ours = result, ours
    return failure
