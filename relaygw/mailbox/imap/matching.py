"""LIST patterns (RFC 3501 6.3.8): `*` matches anything, `%` anything but the hierarchy delimiter.

A pattern is run against a name by following all the places it can be in at once: time is name times pattern at most,
whatever the pattern. Nothing backtracks.
"""


def matches(pattern: str, name: str, delimiter: str) -> bool:
    """Whether the whole name matches. INBOX is compared without regard to case by giving both in capitals."""
    places = _skip(pattern, {0})
    for letter in name:
        places = _skip(pattern, {after for place in places for after in _step(pattern, place, letter, delimiter)})
        if not places:
            return False
    return len(pattern) in places


def _skip(pattern: str, places: set[int]) -> set[int]:
    """Wildcards match nothing, too: a place before one is also a place after it."""
    reached = set(places)
    for place in places:
        while place < len(pattern) and pattern[place] in "*%":
            place += 1
            reached.add(place)
    return reached


def _step(pattern: str, place: int, letter: str, delimiter: str) -> tuple[int, ...]:
    if place == len(pattern):
        return ()
    wanted = pattern[place]
    if wanted == "*" or (wanted == "%" and letter != delimiter):
        return (place,)
    return (place + 1,) if wanted == letter else ()


def collapsed(pattern: str) -> str:
    """The same pattern with runs of wildcards made short."""
    found: list[str] = []
    for letter in pattern:
        if letter in "*%" and found and found[-1] in "*%":
            found[-1] = "*" if "*" in (letter, found[-1]) else "%"
        else:
            found.append(letter)
    return "".join(found)
