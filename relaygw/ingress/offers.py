"""The extensions of one session: those that the answer to EHLO names, and those whose parameters are understood."""

from relaygw.core.session import Session
from relaygw.ingress.house import House
from relaygw.ingress.login import Login


def offered(house: House, session: Session, login: Login) -> list[str]:
    """What works here and now, and nothing else (RFC 5321 4.1.1.1)."""
    limits = house.limits
    offers = ["PIPELINING", f"SIZE {limits.message_size}", "8BITMIME", "BINARYMIME", "CHUNKING", "SMTPUTF8", "DSN"]
    offers.append(f"LIMITS MAILMAX={limits.messages} RCPTMAX={limits.recipients}")
    if session.tls is not None:
        offers.append("REQUIRETLS")  # RFC 8689 2
    offers.append("ENHANCEDSTATUSCODES")
    if house.tls is not None and session.tls is None:
        offers.append("STARTTLS")
    auth = login.offer(session.tls is not None)
    return [*offers, auth] if auth else offers


def understood(house: House, session: Session) -> frozenset[str]:
    """None after HELO."""
    if not session.esmtp:
        return frozenset()
    return house.extensions | ({"REQUIRETLS"} if session.tls is not None else set())
