"""The rules that hold mail, as requests and JSON answers, for the socket and for the command line without a service."""

import math
from typing import Any

from relaygw.control import asked
from relaygw.control.asked import Asked, BadRequest
from relaygw.control.collaborators import HoldOperations
from relaygw.control.shapes import Json
from relaygw.journal.line import timestamp


def list_(holds: HoldOperations) -> Json:
    """Every rule in force, in the order in which they are asked."""
    return {"rules": [_shape(dict(each)) for each in holds.all()]}


def change(holds: HoldOperations, verb: str, given: Asked) -> Json:
    """`add` or `remove`; the rules that were made, or whether one was ended."""
    if verb == "add":
        return {"verb": verb, "rules": [_shape(dict(_add(holds, given)))]}
    if verb == "remove":
        asked.known(given, "name")
        try:
            return {"verb": verb, "name": given.get("name"), "done": holds.remove(asked.text(given, "name"))}
        except ValueError as error:
            raise BadRequest(str(error)) from None
    raise BadRequest(f"there is no verb {verb[:50]!r}; known are add, remove")


def _add(holds: HoldOperations, given: Asked) -> Any:
    asked.known(given, "name", "action", "reason", "match", "for", "all")
    seconds = asked.seconds(given, "for")
    if seconds is not None and not 0 < seconds < math.inf:
        raise BadRequest("for: more than no time is wanted")
    rule = {key: value for key, value in given.items() if key != "for"}
    try:
        return holds.add({**rule, "seconds": seconds})
    except ValueError as error:
        raise BadRequest(str(error)) from None


def _shape(rule: Json) -> Json:
    times = {name: timestamp(rule[name]) if rule[name] is not None else None for name in ("since", "until")}
    return {**rule, **times}
