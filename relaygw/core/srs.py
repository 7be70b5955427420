"""The Sender Rewriting Scheme: a forwarder puts a return address of its own into MAIL, so that SPF judges the forwarder
and not the author's domain, and reports still find their way back.

SRS0 carries domain and local part of the sender, a day and a hash that only we can make; a further forwarder makes it
SRS1, which leads back to the first. What is not ours, changed on its way or too old leads nowhere: otherwise anybody
could relay through us by making up return addresses. Case may change on the way; the hash does not see it.

The format is that of Mail::SRS and libsrs2 (HMAC-SHA1, base64, days in two letters), so that hosts can share secrets.
"""

import base64
import hashlib
import hmac
import re

import attrs

from relaygw.core.address import MAX_PATH, Address, AddressError, normalize_domain

SEPARATORS = "=+-"
"""What may follow SRS0 or SRS1; in all other places it is "="."""

SHORTEST, LONGEST = 4, 20
"""Characters of a hash."""

_DAYS = 1024
"""After so many days the two letters come again."""

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_FORM = re.compile(r"SRS([01])([=+-])(.*)\Z", re.IGNORECASE | re.DOTALL)
_ROUTING = "%!"


@attrs.frozen
class Refusal:
    """Why an address cannot be rewritten, or does not lead back."""

    reason: str


FORGED = Refusal("this return address was not made here")
MALFORMED = Refusal("this return address is not complete")
EXPIRED = Refusal("this return address has expired")


@attrs.frozen(kw_only=True)
class Srs:
    """`secrets`: the first makes hashes, all of them are believed. `hash_length`: characters of a hash; fewer prove
    nothing. `max_age` in days."""

    domain: str
    secrets: tuple[bytes, ...] = attrs.field(repr=False)
    separator: str = "="
    hash_length: int = SHORTEST
    max_age: int = 21

    def is_return(self, address: Address) -> bool:
        """Whether this claims to be a return address of ours."""
        return address.domain == self.domain and looks_rewritten(address)

    def forward(self, sender: Address, now: float) -> Address | Refusal:
        """The return address for mail of this sender, made at `now` (POSIX seconds)."""
        if any(sign in sender.local for sign in _ROUTING):
            return Refusal("the sender's local part could be read as a route")
        rewritten = _FORM.match(sender.local)
        if rewritten is None:
            local = self._first(sender, now)
        elif rewritten[1] == "0":
            local = self._further(sender.domain, rewritten[2] + rewritten[3])
        else:
            _, _, rest = rewritten[3].partition("=")
            host, equals, user = rest.partition("=")
            if not (host and equals and user):
                return MALFORMED
            local = self._further(host, user)
        made = Address(local, self.domain)
        if len(str(made).encode("utf-8", "replace")) > MAX_PATH - 2:
            return Refusal("the return address would be longer than 254 octets")
        return made

    def reverse(self, address: Address, now: float) -> Address | Refusal:
        """Where what comes to a return address goes: the sender, or the first forwarder's return address."""
        form = _FORM.match(address.local)
        if form is None:
            return MALFORMED
        parts = form[3].split("=", 3 if form[1] == "0" else 2)
        if form[1] == "0":
            if len(parts) != 4:
                return MALFORMED
            given, day, host, user = parts
            signed: tuple[str, ...] = (day, host, user)
        else:
            if len(parts) != 3:
                return MALFORMED
            given, host, user = parts
            day, signed = "", (host, user)
        if not self._believes(given, signed):
            return FORGED
        if form[1] == "0" and not self._is_current(day, now):
            return EXPIRED
        return _address(user if form[1] == "0" else f"SRS0{user}", host)

    def _first(self, sender: Address, now: float) -> str:
        day = _day(now)
        proof = self._hash(self.secrets[0], (day, sender.domain, sender.local))[: self.hash_length]
        return f"SRS0{self.separator}{proof}={day}={sender.domain}={sender.local}"

    def _further(self, host: str, user: str) -> str:
        """`user` begins with the first forwarder's separator."""
        proof = self._hash(self.secrets[0], (host, user))[: self.hash_length]
        return f"SRS1{self.separator}{proof}={host}={user}"

    def _hash(self, secret: bytes, signed: tuple[str, ...]) -> str:
        data = "".join(signed).lower().encode("utf-8", "surrogateescape")
        return base64.b64encode(hmac.new(secret, data, hashlib.sha1).digest()).decode("ascii")

    def _believes(self, given: str, signed: tuple[str, ...]) -> bool:
        if not self.hash_length <= len(given) <= LONGEST or not given.isascii():
            return False
        wanted = [self._hash(secret, signed)[: len(given)].lower() for secret in self.secrets]
        return any(hmac.compare_digest(given.lower(), each) for each in wanted)

    def _is_current(self, day: str, now: float) -> bool:
        """A day ahead is one of a host whose clock is."""
        digits = [_LETTERS.find(letter) for letter in day.upper()]
        if len(digits) != 2 or min(digits) < 0:
            return False
        age = (int(now // 86400) + 1 - digits[0] * 32 - digits[1]) % _DAYS
        return age <= self.max_age + 1


def looks_rewritten(address: Address) -> bool:
    """Whether it has the form of a return address of some forwarder."""
    return _FORM.match(address.local) is not None


def _day(now: float) -> str:
    day = int(now // 86400) % _DAYS
    return _LETTERS[day >> 5] + _LETTERS[day & 31]


def _address(local: str, domain: str) -> Address | Refusal:
    try:
        return Address(local, normalize_domain(domain)) if local else MALFORMED
    except AddressError:
        return MALFORMED
