"""Records as JSON for operators. The shapes are a contract, described in docs/cli.md; times are ISO 8601 in UTC."""

import math
from typing import Any

from relaygw.control.collaborators import Done, Listed
from relaygw.core.envelope import path
from relaygw.core.lane import Standing
from relaygw.core.outcome import Outcome
from relaygw.core.record import Progress, RecipientState, Record
from relaygw.core.trash import Trashed
from relaygw.journal.line import timestamp

Json = dict[str, Any]


def time_or_none(moment: float | None) -> str | None:
    """A time, or None for never and for unknown."""
    return None if moment is None or math.isinf(moment) else timestamp(moment)


def summary(listed: Listed, now: float) -> Json:
    """One line of the queue's list."""
    record = listed.record
    waiting = record.waiting
    latest = max((state for state in waiting if state.last), key=lambda state: state.attempts, default=None)
    return {
        "id": record.queue_id,
        "state": listed.state,
        "sender": path(record.envelope.sender),
        "recipients": [str(state.address) for state in waiting],
        "arrived": timestamp(record.arrived),
        "age": max(0, round(now - record.arrived)),
        "size": record.size,
        "attempts": max((state.attempts for state in waiting), default=0),
        "due": time_or_none(record.due),
        "held": record.held,
        "quarantined": record.quarantined,
        "origin": record.origin.value,
        "login": record.login,
        "reply": str(latest.last.reply) if latest and latest.last else "",
    }


def details(listed: Listed, now: float) -> Json:
    """Everything the queue knows of a message."""
    record = listed.record
    envelope = record.envelope
    return {
        **summary(listed, now),
        "message_id": record.message_id,
        "session": record.session_id,
        "client": record.client,
        "hello": record.hello,
        "listener": record.listener,
        "header_from": record.header_from,
        "findings": list(record.findings),
        "body": envelope.body.value,
        "smtputf8": envelope.smtputf8,
        "envid": envelope.envid,
        "recipients": [recipient(state, _ordered(record, at)) for at, state in enumerate(record.recipients)],
    }


def _ordered(record: Record, position: int) -> str:
    """What is to become of a recipient when the attempt that runs ends without delivery."""
    return ", then ".join(str(each) for each in record.intents if position in each.positions)


def recipient(state: RecipientState, ordered: str) -> Json:
    """Where one recipient stands."""
    return {
        "address": str(state.address),
        "progress": state.progress.value,
        "attempts": state.attempts,
        "due": time_or_none(state.due) if state.progress is Progress.WAITING else None,
        "warned": time_or_none(state.warned),
        "notify": sorted(word.value for word in state.recipient.notify),
        "orcpt": state.recipient.orcpt,
        "rerouted": str(state.detour) if state.detour else "",
        "ordered": ordered,
        "last": outcome(state.last) if state.last else None,
    }


def outcome(last: Outcome) -> Json:
    """What the latest attempt did."""
    return {
        "status": last.status.value,
        "reply": str(last.reply),
        "remote": last.remote,
        "host": last.host,
        "address": last.address,
        "tls": last.tls,
    }


def trashed(each: Trashed, age: float) -> Json:
    """A message that was removed; `recipients` are those who were, `until` when it goes for good."""
    record = each.record
    return {
        "id": record.queue_id,
        "removed": timestamp(each.removed),
        "until": timestamp(each.removed + age),
        "reason": each.reason,
        "sender": path(record.envelope.sender),
        "recipients": [str(state.address) for state in record.waiting],
        "arrived": timestamp(record.arrived),
        "size": record.size,
        "held": record.held,
        "login": record.login,
        "message_id": record.message_id,
    }


def done(answer: Done) -> Json:
    """What an order came to."""
    return {"id": answer.queue_id, "done": answer.done, "message": answer.message}


def destination(standing: Standing) -> Json:
    """How one destination stands."""
    transport, name = standing.destination
    return {
        "destination": name,
        "transport": transport,
        "running": standing.running,
        "waiting": standing.waiting,
        "limit": standing.limit,
        "resting_until": time_or_none(standing.resting_until or None),
        "probing": standing.probing,
        "shaping": list(standing.layers),
        "why": standing.why,
    }
