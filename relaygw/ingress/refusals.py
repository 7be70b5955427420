"""What a session's refusals come to: each is journaled, and counted; errors of strangers are answered later and later,
and too many end the session."""

from itertools import islice

from relaygw.core.events import Refused
from relaygw.core.reply import Reply
from relaygw.core.session import Session
from relaygw.ingress import answers
from relaygw.ingress.answers import Answer, Then, Turn
from relaygw.ingress.house import House
from relaygw.ingress.subject import Subject

FREE_ERRORS = 3
"""Errors in a session that are answered at once."""

MAX_PENALTY = 30.0
"""Seconds: longer, and well-behaved clients would give up."""

MAX_RECIPIENTS = 100
"""Of a message that is refused, by which it can be traced: a refusal costs a stranger nothing."""


class Refusals:
    """`errors`: how often a command was refused for good since the last message; `unknown`: how many recipients."""

    def __init__(self, house: House, subject: Subject) -> None:
        self.errors = 0
        self.unknown = 0
        self._house = house
        self._subject = subject

    def answer(self, reply: Reply, session: Session) -> Answer:
        """What is said for it."""
        subject, limits = self._subject, self._house.limits
        self._house.journal(
            Refused(
                session=session.id,
                queue_id=subject.queue_id,
                command=subject.command,
                reply=str(reply),
                reason=subject.reason,
                sender=subject.sender,
                recipient=subject.recipient,
                recipients=tuple(str(each.address) for each in islice(subject.recipients, MAX_RECIPIENTS)),
            )
        )
        if reply.permanent:
            self.errors += 1
        if self.errors > limits.errors:
            return answers.TOO_MANY_ERRORS
        if reply.permanent and reply.enhanced == "5.1.1" and _strange(session):
            self.unknown += 1
            if self.unknown > limits.unknown_recipients:
                return answers.TOO_MANY_UNKNOWN
        return Turn(reply, Then.CLOSE) if reply.code == 421 else reply  # RFC 5321 3.8: 421 says that we hang up

    def penalty(self, session: Session) -> float:
        """For how many seconds an error is not answered: longer each time, for those that nobody knows."""
        delay = self._house.limits.error_delay
        late = max(0, self.errors - FREE_ERRORS)
        return min(delay * late, MAX_PENALTY) if delay and late and _strange(session) else 0.0


def _strange(session: Session) -> bool:
    return not (session.login or session.trusted)
