"""Whose mail a message is, for fairness: the login, or else the sender without what differs from message to message."""

import re
from functools import lru_cache

from relaygw.core.record import Origin, Record

_STEM = re.compile(r"[^+=#]+")


def owner_of(record: Record) -> str:
    """The owner's name. A mailing that gives every recipient a return address of its own (VERP) has one owner still."""
    if record.login:
        return record.login
    sender = record.envelope.sender
    if sender is None:
        return "<>" if record.origin is Origin.REPORT else f"<> from {record.client}"
    return owner_of_sender(sender.local, sender.domain)


@lru_cache(maxsize=4096)
def owner_of_sender(local: str, domain: str) -> str:
    """Who owns what came from this address without a login, however its letters are written."""
    stem = _STEM.match(local)
    local = stem[0] if stem is not None else local
    return f"{(local.rstrip('0123456789-_.') or local).casefold()}@{domain.lower()}"
