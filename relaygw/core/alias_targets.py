"""What stands on the right of an alias: addresses, names, a whole domain; and what is refused there, by name.

    bob@example.net     an address anywhere
    bob                 a name: in the domain of the address that is being expanded
    @example.net        the same local part in another domain
    \\bob               the mailbox of this name, whatever other aliases say
    /dev/null           nowhere: the mail is taken and thrown away

Commands, files and lists in files (`:include:`) are not targets. What programs would run or write, and where from
strangers' mail, is the business of filters and transports that are configured as such.
"""

import re
import unicodedata
from collections.abc import Iterator

import attrs

from relaygw.core.address import Address, AddressError, normalize_domain, parse_address

INCLUDE = ":include:"
NOWHERE = "/dev/null"

MAX_TARGET = 500
"""Characters of one target."""

_NAME = re.compile(r"[^\s@,:;<>()\[\]\\\"]+\Z")


class TargetError(ValueError):
    """The text is no target; the message says why."""


@attrs.frozen(kw_only=True)
class Target:
    """`local` "" keeps the local part, `domain` "" the domain. `final`: not looked up again; `nowhere`: nobody."""

    local: str = ""
    domain: str = ""
    final: bool = False
    nowhere: bool = False

    def at(self, address: Address) -> Address:
        """The address it means for mail to `address`."""
        return Address(self.local or address.local, self.domain or address.domain)


def parse_target(text: str) -> Target:
    """Raises TargetError."""
    if len(text) > MAX_TARGET:
        raise TargetError(f"{text[:40]!r}… is longer than {MAX_TARGET} characters")
    if text == NOWHERE:
        return Target(nowhere=True)
    if text.startswith(("|", '"|')):
        raise TargetError(f"{text!r}: no commands are run for mail; a filter or a transport can do that")
    if text.startswith(("/", "./", "~")):
        raise TargetError(f"{text!r}: no files are written for mail")
    if text.lower().startswith(INCLUDE):
        raise TargetError(f"{text!r}: lists in files are read only by a table with include = true")
    if text.startswith("\\"):
        return attrs.evolve(_address(text[1:]), final=True)
    if text.startswith("@"):
        return Target(domain=_domain(text[1:], text))
    return _address(text)


def _address(text: str) -> Target:
    if "@" not in text:
        if not _NAME.match(text) or len(text.encode("utf-8", "replace")) > 64:
            raise TargetError(f"{text!r} is neither an address nor a name")
        return Target(local=text)
    try:
        address = parse_address(text)
    except AddressError as error:
        raise TargetError(f"{text!r} is no address: {error}") from None
    return Target(local=address.local, domain=address.domain)


def _domain(domain: str, text: str) -> str:
    try:
        return normalize_domain(domain)
    except AddressError as error:
        raise TargetError(f"{text!r}: {error}") from None


def key_of(text: str) -> str:
    """A key as tables keep it: case never matters, domains are A-labels. Raises TargetError."""
    local, at, domain = text.rpartition("@")
    if not at:
        return fold(text)
    if local.startswith('"'):
        return address_key(_parsed(text))
    return f"{fold(local)}@{_domain(domain, text)}"


def _parsed(text: str) -> Address:
    try:
        return parse_address(text)
    except AddressError as error:
        raise TargetError(f"{text!r} is no address: {error}") from None


def address_key(address: Address) -> str:
    """The key of a whole address."""
    return f"{fold(address.local)}@{address.domain}"


def fold(local: str) -> str:
    return local.casefold() if local.isascii() else unicodedata.normalize("NFC", local).casefold()


def split_targets(text: str) -> Iterator[str]:
    """What commas (and, in lists, line ends) separate; a quoted string may hold both. Empty pieces are left out."""
    for piece in _PIECE.findall(text):
        word = piece.strip()
        if word.startswith('"') and word.endswith('"') and "@" not in word and len(word) > 1:
            word = word[1:-1].strip()
        if word:
            yield word


# A quoted string that does not end goes on to the end: to look for its end again from each quote within would take
# the square of the time.
_PIECE = re.compile(r'((?:"(?:[^"\\]|\\(?s:.))*+(?:"|\\?\Z)|[^",\n])++)')
