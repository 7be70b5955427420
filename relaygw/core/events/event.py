"""What all events have in common."""

import attrs


@attrs.frozen(kw_only=True)
class Event:
    """`session` is the SMTP session's id, `queue_id` the message's; "" where the event has none."""

    session: str = ""
    queue_id: str = ""
