"""What `relaygw explain` says of the way onward, for messages of the queue and for those that might come."""

from typing import TYPE_CHECKING

from relaygw.control.shapes import Json

if TYPE_CHECKING:
    from relaygw.cli.borrowed import Parts as Borrowed
    from relaygw.config.schema import Config
    from relaygw.core.address import Address
    from relaygw.core.record import Record


async def route(
    record: "Record", head: bytes, recipient: "Address", config: "Config", parts: "Borrowed", accepted: bool = False
) -> Json:
    """As `relaygw route` tells it; `accepted`: rewriters and aliases have done their part."""
    from relaygw.cli.borrowed import explain
    from relaygw.control.explain import Case

    case = Case(
        sender=record.envelope.sender,
        recipient=recipient,
        login=record.login,
        listener=record.listener,
        client=record.client,
        size=record.size,
        headers=tuple(fields(head)),
        findings=record.findings,
        quarantined=record.quarantined and not record.held,  # a release ends it
        accepted=accepted,
    )
    return await explain(case, config, parts)


def fields(head: bytes) -> list[str]:
    """The fields, each with its folds."""
    found: list[str] = []
    for line in head.decode("utf-8", "replace").split("\r\n"):
        if line[:1] in (" ", "\t") and found:
            found[-1] += f"\r\n{line}"
        elif line:
            found.append(line)
    return found


def nothing(steps: list[Json], action: str, reason: str) -> Json:
    """It ends at the door."""
    return {
        "action": action,
        "reason": reason,
        "transport": "",
        "hosts": [],
        "tls": "",
        "signing": [],
        "steps": steps,
        "recipients": [],
    }


def together(ways: list[Json], steps: list[Json]) -> Json:
    """One answer for all recipients: the worst action; hosts and the like are those of the first."""
    order = ("discard", "deliver", "hold", "defer", "fail")
    first = ways[0] if ways else nothing([], "discard", "nobody waits")
    return {
        "action": max((way["action"] for way in ways), key=order.index, default="discard"),
        "reason": next((way["reason"] for way in ways if way["reason"]), ""),
        **{name: first[name] for name in ("transport", "hosts", "tls", "signing")},
        "steps": steps + (first["steps"] if len(ways) == 1 else []),
        "recipients": ways,
    }


def in_brackets(address: "Address | None") -> str:
    from relaygw.core.envelope import path

    return path(address)
