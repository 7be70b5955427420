"""A record as JSON text and back. Written by hand: it runs twice for every message.

The text carries its own version, so that records written by older programs stay readable. What has its default value is
left out; a recipient's state repeats the forward-path only where it differs from the envelope's. The text is ASCII;
addresses and texts from peers in any script survive, lone surrogates included. It ends with its own digest (CRC-32, of
the object without it), so that a flipped bit sends nothing to somebody else; texts of older programs have none.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from zlib import crc32

from relaygw.core.address import Address
from relaygw.core.envelope import Body, Envelope, Notify, Recipient
from relaygw.core.outcome import Outcome, Status
from relaygw.core.record import Detour, Intent, Origin, Progress, RecipientState, Record
from relaygw.core.reply import Reply

VERSION = 1

DIGEST = "crc"
_DIGEST = f',"{DIGEST}":'

_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_Fields = dict[str, Any]
_RECORD_TEXTS = ("session_id", "client", "hello", "listener", "login", "message_id", "header_from", "held")
_OUTCOME_TEXTS = ("host", "address", "tls")
_OUTCOME_FLAGS = ("remote", "uncertain", "relayed_dsn", "holds", "final", "quarantines")


class CodecError(ValueError):
    """The text is not a record that this program can read; the message says why."""


def encode_record(record: Record) -> str:
    """The record as one line of JSON."""
    told: _Fields = {
        "v": VERSION,
        "queue_id": record.queue_id,
        "arrived": record.arrived,
        "size": record.size,
        "envelope": _envelope(record.envelope),
    }
    for name in _RECORD_TEXTS:
        text = getattr(record, name)
        if text:
            told[name] = text
    if record.origin is not Origin.RECEIVED:
        told["origin"] = record.origin.value
    if record.quarantined:
        told["quarantined"] = True
    if record.released:
        told["released"] = True
    if record.findings:
        told["findings"] = record.findings
    if record.intents:
        told["intents"] = list(map(_intent, record.intents))
    original = record.envelope.recipients
    told["recipients"] = [
        _state(state, original[place] if place < len(original) else None)
        for place, state in enumerate(record.recipients)
    ]
    return _with_digest(_encode(told))


def _with_digest(text: str) -> str:
    return f"{text[:-1]}{_DIGEST}{crc32(text.encode('ascii'))}}}"


def _is_whole(text: str) -> bool:
    """Within strings quotes are escaped: what looks like the digest is it."""
    place = text.rfind(_DIGEST)
    if place < 0:
        return True
    noted = text[place + len(_DIGEST) : -1]
    return noted == str(crc32(f"{text[:place]}}}".encode("utf-8", "replace")))


def _envelope(envelope: Envelope) -> _Fields:
    told: _Fields = {"sender": _address(envelope.sender) if envelope.sender else None}
    if envelope.body is not Body.SEVEN_BIT:
        told["body"] = envelope.body.value
    for name in ("smtputf8", "requiretls", "size", "ret", "envid"):
        value = getattr(envelope, name)
        if value:
            told[name] = value
    told["recipients"] = [_recipient(recipient) for recipient in envelope.recipients]
    return told


def _address(address: Address) -> list[str]:
    return [address.local, address.domain]


def _recipient(recipient: Recipient) -> _Fields:
    told: _Fields = {"address": _address(recipient.address)}
    if recipient.notify:
        told["notify"] = sorted([word.value for word in recipient.notify])
    if recipient.orcpt:
        told["orcpt"] = recipient.orcpt
    if recipient.expanded:
        told["expanded"] = True
    if recipient.listed:
        told["listed"] = True
    return told


def _state(state: RecipientState, original: Recipient | None) -> _Fields:
    told: _Fields = {"due": state.due}
    if state.recipient is not original and state.recipient != original:
        told["recipient"] = _recipient(state.recipient)
    if state.progress is not Progress.WAITING:
        told["progress"] = state.progress.value
    if state.attempts:
        told["attempts"] = state.attempts
    if state.last is not None:
        told["last"] = _outcome(state.last)
    if state.warned is not None:
        told["warned"] = state.warned
    if state.tried is not None:
        told["tried"] = state.tried
    if state.owed:
        told["owed"] = True
    if state.detour is not None:
        told["detour"] = _detour(state.detour)
    return told


def _detour(detour: Detour) -> _Fields:
    return {"route": detour.route} if detour.route else {"hosts": detour.hosts}


def _intent(intent: Intent) -> _Fields:
    told: _Fields = {"verb": intent.verb, "positions": intent.positions}
    if intent.reason:
        told["reason"] = intent.reason
    if intent.keep:
        told["keep"] = True
    if intent.to is not None:
        told["to"] = _detour(intent.to)
    return told


def _outcome(outcome: Outcome) -> _Fields:
    reply = outcome.reply
    told: _Fields = {
        "recipient": _address(outcome.recipient),
        "status": outcome.status.value,
        "reply": [reply.code, reply.enhanced, reply.text],
    }
    for name in _OUTCOME_TEXTS + _OUTCOME_FLAGS:
        value = getattr(outcome, name)
        if value:
            told[name] = value
    return told


def decode_record(text: str) -> Record:
    """The record that `encode_record` wrote; raises CodecError for anything else."""
    try:
        told = json.loads(text)
        version = told["v"]
        if version != VERSION:
            raise CodecError(f"the record has version {version}; this program reads {VERSION}")
        if not _is_whole(text):
            raise CodecError("the record is not what was stored: its digest is wrong")
        return _read_record(told)
    except CodecError:
        raise
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise CodecError(f"the record is not readable: {type(error).__name__}: {error}") from error


def _read_record(told: Mapping[str, Any]) -> Record:
    envelope = _read_envelope(told["envelope"])
    original = envelope.recipients
    return Record(
        queue_id=_text(told["queue_id"]),
        envelope=envelope,
        arrived=float(told["arrived"]),
        recipients=tuple(
            [
                _read_state(state, original[place] if place < len(original) else None)
                for place, state in enumerate(told["recipients"])
            ]
        ),
        size=int(told["size"]),
        origin=_ORIGINS[told.get("origin", "received")],
        quarantined=bool(told.get("quarantined", False)),
        released=bool(told.get("released", False)),
        findings=tuple(map(_text, told.get("findings", ()))),
        intents=tuple(map(_read_intent, told["intents"])) if "intents" in told else (),
        **{name: _text(told[name]) for name in _RECORD_TEXTS if name in told},
    )


def _read_envelope(told: Mapping[str, Any]) -> Envelope:
    sender = told["sender"]
    return Envelope(
        sender=_read_address(sender) if sender is not None else None,
        recipients=tuple([_read_recipient(recipient) for recipient in told["recipients"]]),
        body=_BODIES[told.get("body", "7BIT")],
        smtputf8=bool(told.get("smtputf8", False)),
        requiretls=bool(told.get("requiretls", False)),
        size=int(told.get("size", 0)),
        ret=_text(told.get("ret", "")),
        envid=_text(told.get("envid", "")),
    )


def _read_address(told: list[Any]) -> Address:
    local, domain = told
    return _address_of(local, domain)


@lru_cache(maxsize=2048)
def _address_of(local: Any, domain: Any) -> Address:
    """The same few addresses stand in a record again and again, and in others."""
    return Address(_text(local), _text(domain))


def _read_recipient(told: Mapping[str, Any]) -> Recipient:
    return Recipient(
        address=_read_address(told["address"]),
        notify=frozenset([_NOTIFY[word] for word in told["notify"]]) if "notify" in told else frozenset(),
        orcpt=_text(told.get("orcpt", "")),
        expanded=bool(told.get("expanded", False)),
        listed=bool(told.get("listed", False)),
    )


def _read_state(told: Mapping[str, Any], original: Recipient | None) -> RecipientState:
    recipient = _read_recipient(told["recipient"]) if "recipient" in told else original
    if recipient is None:
        raise CodecError("the record has a state without a recipient")
    return RecipientState(
        recipient=recipient,
        progress=_PROGRESS[told.get("progress", "waiting")],
        attempts=int(told.get("attempts", 0)),
        due=float(told["due"]),
        last=_read_outcome(told["last"]) if "last" in told else None,
        warned=float(told["warned"]) if "warned" in told else None,
        owed=bool(told.get("owed", False)),
        detour=_read_detour(told["detour"]) if "detour" in told else None,
        tried=float(told["tried"]) if "tried" in told else None,
    )


def _read_detour(told: Mapping[str, Any]) -> Detour:
    return Detour(route=_text(told.get("route", "")), hosts=tuple(map(_text, told.get("hosts", ()))))


def _read_intent(told: Mapping[str, Any]) -> Intent:
    verb = _text(told["verb"])
    if verb not in _INTENDED:
        raise CodecError(f"the record has {verb!r:.40} where an order belongs")
    return Intent(
        verb=verb,
        positions=tuple(map(int, told["positions"])),
        reason=_text(told.get("reason", "")),
        keep=bool(told.get("keep", False)),
        to=_read_detour(told["to"]) if "to" in told else None,
    )


def _read_outcome(told: Mapping[str, Any]) -> Outcome:
    code, enhanced, text = told["reply"]
    rest: _Fields = {name: _text(told[name]) for name in _OUTCOME_TEXTS if name in told}
    rest.update({name: bool(told[name]) for name in _OUTCOME_FLAGS if name in told})
    return Outcome(
        recipient=_read_address(told["recipient"]),
        status=_STATUSES[told["status"]],
        reply=Reply(int(code), _text(enhanced), _text(text)),
        **rest,
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise CodecError(f"the record has {value!r:.40} where a text belongs")
    return value


_INTENDED = ("reroute", "remove", "bounce")
_ORIGINS = {word.value: word for word in Origin}
_BODIES = {word.value: word for word in Body}
_NOTIFY = {word.value: word for word in Notify}
_PROGRESS = {word.value: word for word in Progress}
_STATUSES = {word.value: word for word in Status}
