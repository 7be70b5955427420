"""What filters and permission may know: the session (one SMTP connection) and the transaction (MAIL to end of data).

Both are frozen; the ingress evolves them as commands are answered. Filters read them and answer verdicts.
"""

from collections.abc import Mapping

import attrs

from relaygw.core.content import Content
from relaygw.core.envelope import Envelope, Recipient
from relaygw.core.words import Word


class Role(Word):
    """What a listener is for; it decides the default checks."""

    MX = "mx"
    SUBMISSION = "submission"


@attrs.frozen(kw_only=True)
class Tls:
    """The channel after a handshake: `version` such as "TLSv1.3", `cipher`, and `server_name` from SNI or ""."""

    version: str
    cipher: str
    server_name: str = ""


@attrs.frozen(kw_only=True)
class Session:
    """`id` names the session in the journal. `client` is an IP address in canonical text, or "" on a UNIX socket.

    `hello` is the client's EHLO/HELO argument, checked for form, "" before it; `login` the authenticated name or "".
    `esmtp`: it said EHLO, or LHLO where `lmtp`. `results` holds what filters found in session phases, by filter name.
    """

    id: str
    listener: str
    role: Role
    client: str
    port: int = 0
    hello: str = ""
    esmtp: bool = False
    lmtp: bool = False
    tls: Tls | None = None
    login: str = ""
    trusted: bool = False
    results: Mapping[str, object] = attrs.field(factory=dict)


def greeted(session: Session, hello: str, *, esmtp: bool) -> Session:
    """The session after HELO or EHLO; made anew, as that is several times quicker than to evolve it."""
    return Session(
        id=session.id,
        listener=session.listener,
        role=session.role,
        client=session.client,
        port=session.port,
        hello=hello,
        esmtp=esmtp,
        lmtp=session.lmtp,
        tls=session.tls,
        login=session.login,
        trusted=session.trusted,
        results=session.results,
    )


@attrs.frozen(kw_only=True)
class Transaction:
    """`recipient` is the one being asked about in phase rcpt, else None; the envelope holds those already accepted.

    `content` is set in phase data only. `results` holds what filters found, by filter name, as typed values.
    """

    session: Session
    envelope: Envelope
    queue_id: str = ""
    recipient: Recipient | None = None
    content: Content | None = None
    results: Mapping[str, object] = attrs.field(factory=dict)
