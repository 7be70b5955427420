"""What a next hop cannot take, decided before a word is said: size, alphabet, TLS, addresses no command can carry."""

from relaygw.core.mail_commands import UnsafePath, safe_path
from relaygw.core.outcome import Outcome, Status
from relaygw.core.reply import Reply
from relaygw.egress.hop import EightBit
from relaygw.egress.ledger import Ledger
from relaygw.egress.message import Message

_OF_THIS_HOST = frozenset({"5.6.3", "5.6.7", "5.7.30"})


def another_may(outcome: Outcome) -> bool:
    """Whether we gave up on this host for want of an extension, which the next one may have (RFC 6531 3.2)."""
    return outcome.status is Status.FAILED and not outcome.remote and outcome.reply.enhanced in _OF_THIS_HOST


def rule_out(ledger: Ledger, message: Message) -> None:
    """Write down the recipients this server cannot serve: all of them, or those with an address it cannot read."""
    reply = _misfit(ledger, message)
    if reply is not None:
        ledger.decided(ledger.open(), reply)
        return
    for number, recipient in enumerate(ledger.recipients):
        if not recipient.address.ascii and not ledger.session.offered.smtputf8:
            ledger.decided([number], Reply(553, "5.6.7", "the next hop does not take non-ASCII addresses (SMTPUTF8)"))
        try:
            safe_path(recipient.address)
        except UnsafePath as error:
            ledger.decided([number], Reply(553, "5.1.3", str(error)))


def _misfit(ledger: Ledger, message: Message) -> Reply | None:
    """Why nobody can get this message through this server."""
    session, envelope, offered = ledger.session, message.envelope, ledger.session.offered
    if offered.size and message.size > offered.size:  # RFC 1870 6.1
        return Reply(552, "5.3.4", f"the message has {message.size} octets, the next hop takes {offered.size}")
    if needs_smtputf8(message) and not offered.smtputf8:
        return Reply(550, "5.6.7", "the next hop does not take internationalized mail (SMTPUTF8)")
    if message.binary and not offered.binary:  # RFC 3030 3; content is never converted
        return Reply(554, "5.6.3", "the next hop does not take binary content (BINARYMIME)")
    if message.eight_bit and not offered.eight_bit and session.hop.eight_bit is EightBit.REFUSE:
        return Reply(554, "5.6.3", "the next hop does not take 8-bit content (8BITMIME)")
    if envelope.requiretls and not (offered.offers("REQUIRETLS") and session.tls and session.tls.verified):
        return Reply(550, "5.7.30", "the message requires verified TLS (REQUIRETLS)")  # RFC 8689 4.2.1
    try:
        safe_path(envelope.sender)
    except UnsafePath as error:
        return Reply(553, "5.1.7", str(error))
    return None


def needs_smtputf8(message: Message) -> bool:
    """Whether sender or header section hold what only SMTPUTF8 can carry (RFC 6531 3.4)."""
    sender = message.envelope.sender
    if sender is not None and not sender.ascii:
        return True
    return message.envelope.smtputf8 and not message.head_is_ascii
