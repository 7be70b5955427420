"""LIST patterns (RFC 3501 6.3.8): `*` matches anything, `%` anything but the hierarchy delimiter.

All the places a pattern can be in at once are the bits of one number, so a name costs one step for each of its
letters, whatever the pattern. Nothing backtracks.
"""


class Pattern:
    """A pattern, ready to be compared with many names."""

    def __init__(self, pattern: str, delimiter: str) -> None:
        self._delimiter = delimiter
        self._letters: dict[str, int] = {}
        self._any = self._level = 0
        collapsed = _collapsed(pattern)
        for place, letter in enumerate(collapsed):
            if letter == "*":
                self._any |= 1 << place
            elif letter == "%":
                self._level |= 1 << place
            else:
                self._letters[letter] = self._letters.get(letter, 0) | 1 << place
        self._end = 1 << len(collapsed)

    def matches(self, name: str) -> bool:
        """Whether the whole name matches."""
        wild = self._any | self._level
        places = 1 | (1 & wild) << 1
        for letter in name:
            stay = self._any if letter == self._delimiter else wild
            places = (places & self._letters.get(letter, 0)) << 1 | (places & stay)
            # A wildcard matches nothing, too; no two stand side by side.
            places |= (places & wild) << 1
            if not places:
                return False
        return bool(places & self._end)


def _collapsed(pattern: str) -> str:
    """The same pattern with each run of wildcards made one."""
    found: list[str] = []
    for letter in pattern:
        if letter in "*%" and found and found[-1] in "*%":
            found[-1] = "*" if "*" in (letter, found[-1]) else "%"
        else:
            found.append(letter)
    return "".join(found)
