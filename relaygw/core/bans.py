"""Who is shut out after failed logins, for how long, and who never is. Pure: every method is told the time.

Failures are counted by address (of IPv6 the /64 one customer has), by network around it and by login; so many of them
within the window make a ban, each further one twice as long. Whoever logged in before stays able to: an address with
a known login is not shut out as a whole, a closed login stays open to the addresses it is known from, and only
failures of that very login from that very address can close this way. All that is kept is bounded; the oldest goes.
"""

import enum
import ipaddress
from collections import Counter, OrderedDict, deque
from collections.abc import Collection, Iterator

import attrs

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

DAY = 86400.0
KNOWN_FOR = 30 * DAY
"""Seconds for which a login that succeeded from an address is known there."""
FORGIVEN_AFTER = DAY
"""Seconds after a ban's end in which the next one is longer."""
MAX_COUNTED, MAX_BANS, MAX_KNOWN = 5_000, 10_000, 20_000
_REMEMBERED = 8
"""Wrong passwords remembered of each address, so that a forgotten device with an old one counts once."""
_WIDTH = {4: 32, 6: 64}
_AROUND = {4: 24, 6: 48}


class Kind(enum.Enum):
    ADDRESS = "address"
    NETWORK = "network"
    LOGIN = "login"
    PAIR = "login from address"


@attrs.frozen(kw_only=True)
class Policy:
    """How many failures within `window` seconds ban, and for how long."""

    enabled: bool = True
    failures: int = 10
    network_failures: int = 50
    login_failures: int = 20
    window: float = 3600.0
    duration: float = 900.0
    longest: float = DAY
    exempt: tuple[Network, ...] = ()


@attrs.frozen(kw_only=True)
class Ban:
    """`subject` is a network ("192.0.2.7/32"), a login, or "login 192.0.2.7/32". `times` counts its bans in a row.

    An operator's (`manual`) holds whatever is known of the address.
    """

    kind: Kind
    subject: str
    since: float
    until: float
    reason: str
    times: int = 1
    manual: bool = False


@attrs.frozen
class Known:
    """A login that went well from an address, last at `when`."""

    login: str
    place: str
    when: float


class BanError(ValueError):
    """What was to be banned cannot be; the message tells why."""


_Key = tuple[Kind, str]


@attrs.define
class _Count:
    times: deque[float]
    seen: deque[bytes] = attrs.field(factory=lambda: deque(maxlen=_REMEMBERED))


class Bans:
    """The state. Methods that may ban answer the bans they made."""

    def __init__(self, policy: Policy, bans: Collection[Ban] = (), known: Collection[Known] = ()) -> None:
        self.policy = policy
        self._bans: OrderedDict[_Key, Ban] = OrderedDict()
        self._widths: Counter[int] = Counter()
        self._known: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._known_at: Counter[str] = Counter()
        self._counts: dict[Kind, OrderedDict[str, _Count]] = {kind: OrderedDict() for kind in Kind}
        self._swept = 0.0
        for ban in bans:
            self._put(ban)
        for one in known:
            self._know(one.place, one.login, one.when)

    # What is asked.

    def shut(self, client: str, now: float) -> Ban | None:
        """The ban because of which this client is not even let in."""
        address = _address(client) if self._bans else None
        if address is None or self._spared(address):
            return None
        for ban in self._around(address, now):
            if ban.manual or not self._known_at[str(_place(address))]:
                return ban
        return None

    def refuses(self, client: str, login: str, now: float) -> bool:
        """Whether a login is closed to a client."""
        address = _address(client)
        name = fold(login)
        if not self._bans or (address is not None and self._spared(address)):
            return False
        place = str(_place(address)) if address is not None else ""
        if self._running((Kind.PAIR, f"{name} {place}"), now):
            return True
        if self._knows(place, name, now):
            return address is not None and any(ban.manual for ban in self._around(address, now))
        closed = self._running((Kind.LOGIN, name), now) is not None
        return closed or (address is not None and next(self._around(address, now), None) is not None)

    def all(self, now: float) -> tuple[Ban, ...]:
        """Every ban in force, the one that ends first in front."""
        return tuple(sorted((ban for ban in self._bans.values() if ban.until > now), key=lambda ban: ban.until))

    def known(self) -> tuple[Known, ...]:
        """Logins and the addresses they are known from."""
        return tuple(Known(login, place, when) for (place, login), when in self._known.items())

    def kept(self) -> tuple[Ban, ...]:
        """What has to be remembered over a restart, also of bans that are over."""
        return tuple(self._bans.values())

    # What is told.

    def failed(self, client: str, login: str, attempt: bytes, now: float) -> tuple[Ban, ...]:
        """A login failed; `attempt` tells one wrong password from another, b"" where that is not known."""
        address = _address(client)
        if not self.policy.enabled or (address is not None and self._spared(address)):
            return ()
        name, place = fold(login), str(_place(address)) if address is not None else ""
        return tuple(ban for ban in self._count_all(address, name, place, attempt, now) if ban is not None)

    def _count_all(
        self, address: _Address | None, name: str, place: str, attempt: bytes, now: float
    ) -> Iterator[Ban | None]:
        policy = self.policy
        if self._knows(place, name, now):
            yield self._count(Kind.PAIR, f"{name} {place}", policy.failures, attempt, now)
            return
        if address is not None:
            around = str(_network(address, _AROUND[address.version]))
            yield self._count(Kind.ADDRESS, place, policy.failures, attempt, now)
            yield self._count(Kind.NETWORK, around, policy.network_failures, attempt, now)
        if name:
            yield self._count(Kind.LOGIN, name, policy.login_failures, attempt, now)

    def _count(self, kind: Kind, subject: str, limit: int, attempt: bytes, now: float) -> Ban | None:
        counts = self._counts[kind]
        count = counts.setdefault(subject, _Count(deque(maxlen=limit)))
        counts.move_to_end(subject)
        while len(counts) > MAX_COUNTED:
            counts.popitem(last=False)
        if attempt and attempt in count.seen:
            return None
        if attempt:
            count.seen.append(attempt)
        count.times.append(now)
        if len(count.times) < limit or count.times[0] <= now - self.policy.window:
            return None
        del counts[subject]
        return self._ban(kind, subject, f"{limit} failed logins", now)

    def _ban(self, kind: Kind, subject: str, reason: str, now: float) -> Ban | None:
        before = self._bans.get((kind, subject))
        if before is not None and before.until > now:
            return None  # it is told already
        times = before.times + 1 if before is not None and before.until > now - FORGIVEN_AFTER else 1
        seconds = min(self.policy.longest, self.policy.duration * 2.0 ** min(times - 1, 40))
        ban = Ban(kind=kind, subject=subject, since=now, until=now + seconds, reason=reason, times=times)
        self._put(ban)
        return ban

    def succeeded(self, client: str, login: str, now: float) -> bool:
        """A login went well; whether that was not known before (or known for a day or more)."""
        address = _address(client)
        if address is None:
            return False
        place, name = str(_place(address)), fold(login)
        self._counts[Kind.PAIR].pop(f"{name} {place}", None)
        before = self._known.get((place, name), -KNOWN_FOR)
        if now - before < DAY:
            return False
        self._know(place, name, now)
        return True

    def add(self, subject: str, seconds: float, reason: str, now: float) -> Ban:
        """An operator's ban of an address, a network or a login; raises BanError."""
        network = _as_network(subject)
        if network is not None and any(_covers(spared, network) for spared in self.policy.exempt):
            raise BanError(f"{network} is trusted or exempt, and never banned")
        name = fold(subject)
        if network is None and (not name or "/" in name or " " in name or not name.isprintable()):
            raise BanError("neither an address, a network nor a login")
        kind = Kind.LOGIN if network is None else Kind.ADDRESS if _is_place(network) else Kind.NETWORK
        ban = Ban(
            kind=kind,
            subject=str(network) if network is not None else name,
            since=now,
            until=now + seconds,
            reason=reason,
            manual=True,
        )
        self._put(ban)
        return ban

    def lift(self, subject: str) -> tuple[Ban, ...]:
        """End the bans of an address, network or login, and forget what was counted; the bans there were."""
        network = _as_network(subject)
        name = str(network) if network is not None else fold(subject)
        lifted = [ban for ban in self._bans.values() if name == ban.subject or _of_pair(ban, name)]
        for ban in lifted:
            self._drop((ban.kind, ban.subject))
        for kind in Kind:
            self._counts[kind].pop(name, None)
        return tuple(lifted)

    def sweep(self, now: float) -> tuple[Ban, ...]:
        """Let go of what nobody will ask for again; the bans that have ended since the last time."""
        ended = tuple(ban for ban in self._bans.values() if self._swept < ban.until <= now)
        self._swept = now
        for key in [key for key, ban in self._bans.items() if ban.until <= now - FORGIVEN_AFTER]:
            self._drop(key)
        for known in [known for known, when in self._known.items() if when <= now - KNOWN_FOR]:
            self._forget(known)
        return ended

    # Underneath.

    def _put(self, ban: Ban) -> None:
        key = (ban.kind, ban.subject)
        if key in self._bans:
            self._drop(key)
        self._bans[key] = ban
        self._widths[_width(ban)] += 1
        if len(self._bans) > MAX_BANS:
            self._drop(next(iter(self._bans)))

    def _drop(self, key: _Key) -> None:
        width = _width(self._bans.pop(key))
        self._widths[width] -= 1
        if not self._widths[width]:
            del self._widths[width]

    def _know(self, place: str, name: str, when: float) -> None:
        if (place, name) in self._known:
            self._forget((place, name))
        self._known[place, name] = when
        self._known_at[place] += 1
        if len(self._known) > MAX_KNOWN:
            self._forget(next(iter(self._known)))

    def _forget(self, known: tuple[str, str]) -> None:
        del self._known[known]
        self._known_at[known[0]] -= 1
        if not self._known_at[known[0]]:
            del self._known_at[known[0]]

    def _running(self, key: _Key, now: float) -> Ban | None:
        ban = self._bans.get(key)
        return ban if ban is not None and ban.until > now else None

    def _around(self, address: _Address, now: float) -> Iterator[Ban]:
        """The bans in force on networks that this address is in."""
        for width in tuple(self._widths):
            if 0 <= width <= address.max_prefixlen:
                subject = str(_network(address, width))
                for kind in (Kind.ADDRESS, Kind.NETWORK):
                    ban = self._running((kind, subject), now)
                    if ban is not None:
                        yield ban

    def _spared(self, address: _Address) -> bool:
        return any(address.version == network.version and address in network for network in self.policy.exempt)

    def _knows(self, place: str, name: str, now: float) -> bool:
        return self._known.get((place, name), -KNOWN_FOR) > now - KNOWN_FOR


def fold(login: str) -> str:
    """The one spelling of a login, as far as it can be known without asking who it is."""
    return login.strip().casefold()[:128]


def _address(client: str) -> _Address | None:
    try:
        found = ipaddress.ip_address(client.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _network(address: _Address, width: int) -> Network:
    return ipaddress.ip_network((address, width), strict=False)


def _place(address: _Address) -> Network:
    """What one customer has, as far as it shows."""
    return _network(address, _WIDTH[address.version])


def _is_place(network: Network) -> bool:
    return network.prefixlen >= _WIDTH[network.version]


def _as_network(subject: str) -> Network | None:
    """A network or an address as it is banned: of an IPv6 address its /64."""
    address = _address(subject)
    if address is not None:
        return _place(address)
    try:
        return ipaddress.ip_network(subject, strict=False)
    except ValueError:
        return None


def _covers(outer: Network, inner: Network) -> bool:
    return outer.version == inner.version and inner.subnet_of(outer)  # type: ignore[arg-type]  # of one version by now


def _width(ban: Ban) -> int:
    """The prefix length of what is banned, -1 where it is no network."""
    return int(ban.subject.partition("/")[2]) if ban.kind in (Kind.ADDRESS, Kind.NETWORK) else -1


def _of_pair(ban: Ban, name: str) -> bool:
    return ban.kind is Kind.PAIR and name in ban.subject.rsplit(" ", 1)
