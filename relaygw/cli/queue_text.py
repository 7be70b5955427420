"""The queue as people read it on a terminal."""

from relaygw.cli.answer import printable, shown, table
from relaygw.control.shapes import Json


def listing(messages: list[Json]) -> str:
    if not messages:
        return "The queue is empty, or nothing in it is meant."
    titles = ("ID", "STATE", "AGE", "SIZE", "SENDER", "WAITING FOR", "LAST REPLY")
    rows = [
        (
            each["id"],
            each["state"],
            age(each["age"]),
            each["size"],
            each["sender"],
            some(each["recipients"]),
            each["held"] or each["reply"],
        )
        for each in messages
    ]
    return f"{table(titles, rows)}\n{amount(len(messages), 'message')}"


def trash(messages: list[Json]) -> str:
    if not messages:
        return "Nothing can be undone, or nothing of it is meant."
    titles = ("ID", "REMOVED", "UNTIL", "SIZE", "SENDER", "REMOVED RECIPIENTS", "REASON")
    rows = [
        (
            each["id"],
            each["removed"][:19],
            each["until"][:19],
            each["size"],
            each["sender"],
            some(each["recipients"]),
            each["reason"],
        )
        for each in messages
    ]
    return f"{table(titles, rows)}\n{amount(len(messages), 'removal')}"


def some(addresses: list[str]) -> str:
    return addresses[0] + (f" +{len(addresses) - 1}" if len(addresses) > 1 else "") if addresses else ""


def age(seconds: int) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def amount(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def details(message: Json) -> str:
    lines = [
        f"{key}: {shown(value)}" for key, value in message.items() if key != "recipients" and value not in ("", None)
    ]
    for each in message["recipients"]:
        due = f", due {each['due']}" if each["due"] else ""
        tried = f"{each['progress']}, {amount(each['attempts'], 'attempt')}{due}"
        lines.append(f"to <{printable(each['address'])}>: {tried}")
        if each.get("rerouted"):
            lines.append(f"    rerouted to {printable(each['rerouted'])}")
        if each.get("ordered"):
            when = (
                "when its attempt ends without delivery" if message["state"] == "active" else "before another attempt"
            )
            lines.append(f"    {when}: {printable(each['ordered'])}")
        if last := each["last"]:
            host = f" by {last['host']} [{last['address']}]" if last["host"] else ""
            lines.append(f"    {last['status']}{printable(host)}: {printable(last['reply'])}")
    return "\n".join(lines)


def reason(document: Json) -> str:
    return f"{document['id']} ({document['state']}): {printable(document['why'])}"


def standing(document: Json) -> str:
    numbers = f"{document['running']} attempts run, {document['waiting']} wait, at most {document['limit']} at once."
    why = printable(document["why"]) or "Nothing holds it back."
    return f"{printable(document['destination'])} (by {document['transport']}): {why} {numbers}"


def destinations(documents: list[Json]) -> str:
    titles = ("DESTINATION", "BY", "RUNNING", "WAITING", "LIMIT", "RESTS UNTIL", "WHY")
    rows = [
        (
            each["destination"],
            each["transport"],
            each["running"],
            each["waiting"],
            each["limit"],
            (each["resting_until"] or "")[:19],
            each["why"],
        )
        for each in documents
    ]
    return table(titles, rows) if rows else "Nothing is on its way, and nothing is held back."


def orders(messages: list[Json]) -> str:
    return "\n".join(f"{each['id']}: {printable(each['message'])}" for each in messages)
