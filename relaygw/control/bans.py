"""The bans as requests and JSON answers, for the socket and for the command line without a service."""

from relaygw.control import asked
from relaygw.control.asked import Asked, BadRequest
from relaygw.control.collaborators import BanOperations
from relaygw.control.shapes import Json
from relaygw.core.bans import Ban, BanError
from relaygw.journal.line import timestamp

DEFAULT_SECONDS = 86400.0


def list_(bans: BanOperations) -> Json:
    """Every ban in force, the one that ends first in front."""
    return {"bans": list(map(_shape, bans.all()))}


def change(bans: BanOperations, verb: str, given: Asked) -> Json:
    """`add` or `lift`; the bans that were made or ended."""
    if verb == "add":
        return {"verb": verb, "bans": [_shape(_add(bans, given))]}
    if verb == "lift":
        asked.known(given, "subject")
        return {"verb": verb, "bans": list(map(_shape, bans.lift(_subject(given))))}
    raise BadRequest(f"there is no verb {verb[:50]!r}; known are add, lift")


def _add(bans: BanOperations, given: Asked) -> Ban:
    asked.known(given, "subject", "for", "reason")
    seconds = asked.seconds(given, "for")
    if seconds == 0:
        raise BadRequest("for: more than no time is wanted")
    try:
        reason = asked.text(given, "reason") or "by an operator"
        return bans.add(_subject(given), DEFAULT_SECONDS if seconds is None else seconds, reason)
    except BanError as error:
        raise BadRequest(f"subject: {error}") from None


def _subject(given: Asked) -> str:
    subject = asked.text(given, "subject").strip()
    if not subject:
        raise BadRequest("subject: an address, a network or a login is wanted")
    return subject


def _shape(ban: Ban) -> Json:
    return {
        "kind": ban.kind.value,
        "subject": ban.subject,
        "since": timestamp(ban.since),
        "until": timestamp(ban.until),
        "reason": ban.reason,
        "times": ban.times,
    }
