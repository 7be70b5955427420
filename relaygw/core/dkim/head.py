"""The fields of a header section as they are hashed (RFC 6376 3.4.1, 3.4.2, 5.4.2): read once for all signatures."""

from collections.abc import Iterable
from functools import lru_cache

from relaygw.core.dkim.claim import without_signature
from relaygw.core.dkim_signature import relaxed_value
from relaygw.core.headers import named_fields, odd_fields


class Head:
    """Every field of a header section by its name in lower case, from the top; `repeated` are names of several."""

    def __init__(self, head: bytes) -> None:
        self.named = named_fields(head)
        self._no_fields = odd_fields(head)
        self.repeated = frozenset(name for name, same in self.named.items() if len(same) > 1).union(self._no_fields)
        self._odd = b"\x0b" in head or b"\x0c" in head
        self._relaxed: dict[bytes, bytes] = {}

    def shows_more(self, name: bytes, signed: int) -> bool:
        """Whether more of this name are shown than so many; what only some programs take for a field is not signed."""
        return name in self._no_fields or len(self.named.get(name, ())) > signed

    def signed(self, names: tuple[bytes, ...], own: bytes, form: str) -> bytes:
        """What is signed: the fields of these names, each from the bottom and none twice, and the field `own`."""
        if len(names) <= _MANY and _are_plain(names):
            chosen = [same[-1] for name in names if (same := self.named.get(name))]
        else:
            chosen = self._walk(names, own)
        bare = without_signature(own)
        if form == "simple":
            return b"".join((*chosen, bare))
        return b"".join((*map(self._canonical, chosen), relaxed(bare)[:-2]))

    def _walk(self, names: Iterable[bytes], own: bytes) -> list[bytes]:
        left: dict[bytes, int] = {}
        chosen = []
        for name in names:
            same = self.named.get(name, ())
            position = left.get(name, len(same)) - 1
            while position >= 0 and same[position] is own:  # RFC 6376 3.7: never the signature itself by h=
                position -= 1
            left[name] = max(position, 0)
            if position >= 0:
                chosen.append(same[position])
        return chosen

    def _canonical(self, raw: bytes) -> bytes:
        """In relaxed form: once, however many signatures sign it."""
        found = self._relaxed.get(raw)
        if found is None:
            found = self._relaxed[raw] = relaxed(raw) if self._odd else _relaxed(raw)
        return found


_MANY = 256
"""Names of a signature; what is made for longer lists is not kept."""


@lru_cache(maxsize=256)
def _are_plain(names: tuple[bytes, ...]) -> bool:
    """Whether each name stands once, and none is that of a signature."""
    return len(set(names)) == len(names) and not any(name.endswith(b"-signature") for name in names)


def relaxed(raw: bytes) -> bytes:
    """A whole field in relaxed form, with its line end."""
    name, _, value = raw.partition(b":")
    return name.rstrip(b" \t").lower() + b":" + relaxed_value(value) + b"\r\n"


def _relaxed(raw: bytes) -> bytes:
    """The same where all white space of bytes.split() is white space of mail."""
    name, _, value = raw.partition(b":")
    return b"%b:%b\r\n" % (name.rstrip(b" \t").lower(), b" ".join(value.split()))
