"""What is being answered at the moment, for the journal: one per session, read when the answer is a refusal."""

import attrs


@attrs.define
class Subject:
    """`reason` is what the log says; "" stands for the reply's own words. `queue_id` and `sender` as far as known."""

    command: str = "connect"
    queue_id: str = ""
    sender: str = ""
    recipient: str = ""
    reason: str = ""

    def begin(self, command: str) -> None:
        self.command = command
        self.queue_id = self.sender = self.recipient = self.reason = ""
