"""What TLS reports want to know of each session with a next hop (RFC 8460 4.3, 4.4), as events."""

from relaygw.core.events import TlsChecked
from relaygw.core.mx import Target
from relaygw.egress.broken import Broken
from relaygw.egress.client import Session
from relaygw.egress.policy import Ruling


def tls_checked(queue_id: str, ruling: Ruling, session: Session) -> TlsChecked:
    """A session that carries mail; also one that a policy in testing, or none at all, lets pass."""
    result = ruling.failure or session.doubt
    return TlsChecked(
        queue_id=queue_id,
        domain=ruling.domain,
        host=session.target.host,
        address=session.target.address,
        policy_type=ruling.kind,
        result=result,
        reason=session.tls.doubt_words if session.tls is not None else "",
        delivering=True,
        tls=session.tls_version,
        cipher=session.tls.cipher if session.tls is not None else "",
        mode=session.hop.tls.value,
        policy=ruling.policy,
        mx_patterns=ruling.patterns,
        source=session.connection.source if result else "",
        helo=session.connection.helo if result else "",
    )


def tls_failed(queue_id: str, ruling: Ruling, target: Target, failure: Broken) -> TlsChecked:
    """No session came about, because of TLS or of its policy."""
    return TlsChecked(
        queue_id=queue_id,
        domain=ruling.domain,
        host=target.host,
        address=target.address,
        policy_type=ruling.kind,
        result=failure.result,
        reason=str(failure.reply.text),
        mode=ruling.hop.tls.value,
        policy=ruling.policy,
        mx_patterns=ruling.patterns,
        source=failure.source,
        helo=failure.helo,
    )
