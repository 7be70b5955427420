"""The order of commands (RFC 5321 4.1.4, RFC 3207 4, RFC 4954 4): one table of what may follow what.

A command is allowed in a state where the table says which state a positive answer leads to; a refused command leaves
the state as it was. What is not in the table is out of sequence. Data and SASL responses are no commands: while they
flow the state does not change. BDAT is answered behind its octets, and the last one ends the transaction.
"""

import enum
from collections.abc import Mapping

from relaygw.core.reply import Reply
from relaygw.core.words import Word


class State(Word):
    """What is known of the client so far."""

    STRANGER = "stranger"  # greeted, has not said who it is (also after STARTTLS)
    PLAIN = "plain"  # said HELO
    EXTENDED = "extended"  # said EHLO
    SENDER = "sender"  # MAIL was accepted
    RECIPIENTS = "recipients"  # and at least one RCPT
    CHUNKS = "chunks"  # and at least one BDAT, but not the last
    SPOILT = "spoilt"  # a BDAT was refused: RFC 3030 2 wants RSET now


class Verb(Word):
    EHLO = "EHLO"
    HELO = "HELO"
    LHLO = "LHLO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    BDAT = "BDAT"
    RSET = "RSET"
    NOOP = "NOOP"
    VRFY = "VRFY"
    EXPN = "EXPN"
    HELP = "HELP"
    QUIT = "QUIT"


VERBS = {verb.value: verb for verb in Verb}
"""By how they are said."""

WITHOUT_ARGUMENT = frozenset({Verb.RSET, Verb.DATA, Verb.QUIT, Verb.STARTTLS})
"""Those that take none."""


class Next(enum.Enum):
    """Where a positive answer leads, when it is not to a State by name."""

    SAME = "same"
    READY = "ready"  # the transaction is over: PLAIN or EXTENDED, as the client said hello


_ALWAYS: Mapping[Verb, State | Next] = {
    Verb.EHLO: State.EXTENDED,
    Verb.HELO: State.PLAIN,
    Verb.LHLO: State.EXTENDED,
    Verb.NOOP: Next.SAME,
    Verb.VRFY: Next.SAME,
    Verb.EXPN: Next.SAME,
    Verb.HELP: Next.SAME,
    Verb.QUIT: Next.SAME,
}

TABLE: Mapping[State, Mapping[Verb, State | Next]] = {
    State.STRANGER: {**_ALWAYS, Verb.RSET: Next.SAME},
    State.PLAIN: {**_ALWAYS, Verb.RSET: Next.SAME, Verb.MAIL: State.SENDER},
    State.EXTENDED: {
        **_ALWAYS,
        Verb.RSET: Next.SAME,
        Verb.MAIL: State.SENDER,
        Verb.AUTH: Next.SAME,
        Verb.STARTTLS: State.STRANGER,
    },
    State.SENDER: {
        **_ALWAYS,
        Verb.RSET: Next.READY,
        Verb.RCPT: State.RECIPIENTS,
        Verb.STARTTLS: State.STRANGER,
    },
    State.RECIPIENTS: {
        **_ALWAYS,
        Verb.RSET: Next.READY,
        Verb.RCPT: State.RECIPIENTS,
        Verb.DATA: Next.READY,
        Verb.BDAT: State.CHUNKS,
        Verb.STARTTLS: State.STRANGER,
    },
    State.CHUNKS: {**_ALWAYS, Verb.RSET: Next.READY, Verb.BDAT: Next.SAME, Verb.STARTTLS: State.STRANGER},
    State.SPOILT: {**_ALWAYS, Verb.RSET: Next.READY, Verb.STARTTLS: State.STRANGER},
}

_HELLO_FIRST = Reply(503, "5.5.1", "Say EHLO or HELO first")
_IN_CHUNKS = Reply(503, "5.5.1", "The content comes by BDAT; end it with BDAT LAST, or RSET")
_RESET_FIRST = Reply(503, "5.5.1", "A chunk was refused: RSET first")
_WORDS: Mapping[tuple[State, Verb], Reply] = {
    (State.STRANGER, Verb.MAIL): _HELLO_FIRST,
    (State.STRANGER, Verb.AUTH): _HELLO_FIRST,
    (State.STRANGER, Verb.STARTTLS): _HELLO_FIRST,
    (State.PLAIN, Verb.AUTH): Reply(503, "5.5.1", "AUTH follows EHLO only"),
    (State.PLAIN, Verb.STARTTLS): Reply(503, "5.5.1", "STARTTLS follows EHLO only"),
    (State.SENDER, Verb.MAIL): Reply(503, "5.5.1", "The sender was given already"),
    (State.RECIPIENTS, Verb.MAIL): Reply(503, "5.5.1", "The sender was given already"),
    (State.SENDER, Verb.AUTH): Reply(503, "5.5.1", "AUTH is not permitted during a mail transaction"),
    (State.RECIPIENTS, Verb.AUTH): Reply(503, "5.5.1", "AUTH is not permitted during a mail transaction"),
    (State.SENDER, Verb.DATA): Reply(554, "5.5.1", "No valid recipients"),  # RFC 5321 3.3
    (State.SENDER, Verb.BDAT): Reply(503, "5.5.1", "No valid recipients"),
    **{(State.CHUNKS, verb): _IN_CHUNKS for verb in (Verb.MAIL, Verb.RCPT, Verb.DATA, Verb.AUTH)},
    **{(State.SPOILT, verb): _RESET_FIRST for verb in (Verb.MAIL, Verb.RCPT, Verb.DATA, Verb.BDAT, Verb.AUTH)},
}
_NO_SENDER = Reply(503, "5.5.1", "MAIL first")


def out_of_sequence(state: State, verb: Verb, lmtp: bool = False) -> Reply:
    """The answer to a command the table does not allow."""
    if lmtp and state is State.SENDER and verb is Verb.DATA:  # RFC 2033 4.2
        verb = Verb.BDAT
    return _WORDS.get((state, verb), _NO_SENDER)
