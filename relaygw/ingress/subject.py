"""What is being answered at the moment, for the journal: one per session, read when the answer is a refusal."""

from collections.abc import Collection

import attrs

from relaygw.core.envelope import Recipient


@attrs.define
class Subject:
    """`reason` is what the log says; "" stands for the reply's own words. `queue_id` and `sender` as far as known.

    `recipients` are all those of the message, where it is a message that is answered."""

    command: str = "connect"
    queue_id: str = ""
    sender: str = ""
    recipient: str = ""
    reason: str = ""
    recipients: Collection[Recipient] = ()

    def begin(self, command: str) -> None:
        self.command = command
        self.queue_id = self.sender = self.recipient = self.reason = ""
        self.recipients = ()
