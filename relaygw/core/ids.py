"""Names for sessions and messages: sortable by time, hard to guess, safe in any log or file name."""

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def _encode(number: int, width: int) -> str:
    return "".join(_ALPHABET[(number >> 5 * place) & 31] for place in reversed(range(width)))


def new_id(now: float, random: int) -> str:
    """Sixteen characters: nine of time in milliseconds, seven of `random` (35 bits used)."""
    return _encode(int(now * 1000), 9) + _encode(random, 7)
