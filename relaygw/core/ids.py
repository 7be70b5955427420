"""Names for sessions and messages: sortable by time, hard to guess, safe in any log or file name."""

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = tuple(first + second for first in _ALPHABET for second in _ALPHABET)


def new_id(now: float, random: int) -> str:
    """Sixteen characters: nine of time in milliseconds, seven of `random` (35 bits used)."""
    number = (int(now * 1000) & (1 << 45) - 1) << 35 | random & (1 << 35) - 1
    return "".join([_PAIRS[number >> place & 1023] for place in range(70, -1, -10)])
