"""Tables and aliases as operators ask for them: what there is, what a key has, where an address leads."""

from relaygw.control import asked
from relaygw.control.collaborators import AddressOperations
from relaygw.control.shapes import Json
from relaygw.control.web import Refused
from relaygw.core.aliasing import Expansion
from relaygw.core.envelope import path

MAX_ENTRIES = 10_000
"""Entries of a table in one answer."""


async def list_(addresses: AddressOperations) -> Json:
    return {"tables": list(addresses.tables())}


async def look_up(addresses: AddressOperations, name: str, given: asked.Asked) -> Json:
    """What a table has: all of it, or under `key`."""
    asked.known(given, "key")
    key = asked.text(given, "key")
    try:
        if key:
            known, values = await addresses.lookup(name, key)
            return {"table": name, "key": known, "values": list(values)}
        entries = addresses.entries(name)
    except LookupError as error:
        raise Refused(404, str(error.args[0])) from None
    except ValueError as error:
        raise asked.BadRequest(f"key: {error}") from None
    if entries is None:
        raise asked.BadRequest(f"the table {name} cannot show what it holds; ask it for a key")
    return {
        "table": name,
        "count": len(entries),
        "entries": [{"key": key, "values": list(values)} for key, values in entries[:MAX_ENTRIES]],
    }


async def expand(addresses: AddressOperations, given: asked.Asked) -> Json:
    """Where mail to an address of ours leads."""
    asked.known(given, "address", "sender")
    single = {name: asked.single(given, name) for name in ("address", "sender")}
    address, sender = asked.address(single, "address"), asked.reverse_path(single, "sender")
    return expansion(str(address), await addresses.expand(address, sender))


def expansion(address: str, found: Expansion) -> Json:
    return {
        "address": address,
        "expanded": bool(found.steps),
        "refused": str(found.reply) if found.reply is not None else "",
        "reason": found.reason,
        "steps": [
            {"address": str(step.address), "table": step.table, "key": step.key, "targets": list(step.targets)}
            for step in found.steps
        ],
        "finals": [
            {"address": str(final.address), "sender": path(final.owner) if final.owner is not None else ""}
            for final in found.finals
        ],
    }
