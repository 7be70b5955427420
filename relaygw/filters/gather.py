"""Several inquiries at one time: each is asked its own questions in order, all of them beside each other."""

from collections.abc import Sequence
from typing import TypeVar

from twisted.internet.defer import Deferred, gatherResults

from relaygw.core.question import Inquiry
from relaygw.dns import consult
from relaygw.interfaces import IResolver

T = TypeVar("T")


def consult_all(inquiries: Sequence[Inquiry[T]], resolver: IResolver) -> "Deferred[list[T]]":
    """The results in the order of the inquiries; cancelling ends all that still ask."""
    running = [Deferred.fromCoroutine(consult(inquiry, resolver)) for inquiry in inquiries]
    return gatherResults(running, consumeErrors=True)
