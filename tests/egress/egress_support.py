"""What the tests of egress share: records, services, and scripted next hops in memory."""

from typing import Any

from relaygw.core.address import parse_address
from relaygw.core.envelope import Envelope, Recipient
from relaygw.core.record import RecipientState, Record


def make_record(*recipients: str, sender: str = "a@example.com", **facts: Any) -> Record:
    """A record; an empty sender is the null reverse-path."""
    forward = tuple(Recipient(address=parse_address(address)) for address in recipients or ("b@example.org",))
    envelope = Envelope(sender=parse_address(sender) if sender else None, recipients=forward)
    states = tuple(RecipientState(recipient=recipient) for recipient in forward)
    return Record(queue_id="0123456789abcdef", envelope=envelope, arrived=0.0, recipients=states, **facts)
