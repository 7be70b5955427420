"""How many are connected, and how fast they come: counted per client address, per network block and in all.

One per listener; it outlives a reload, so that the sessions of before are still counted. Bounded: rates are kept for
MAX_KEYS addresses and blocks. Clients in trusted networks come as fast as they like.
"""

from collections import Counter
from functools import lru_cache

from relaygw.config.schema import ListenerConfig
from relaygw.core.client import block_of, parse_client
from relaygw.core.rate import Counters, Limit

MAX_KEYS = 20_000
MINUTE = 60.0


class Crowd:
    """The connections of one listener."""

    def __init__(self) -> None:
        self.total = 0
        self._clients: Counter[str] = Counter()
        self._blocks: Counter[str] = Counter()
        self._rates: dict[str, Counters] = {}

    def refusal(self, config: ListenerConfig, client: str, trusted: bool, now: float) -> str:
        """Why a client cannot come in now, in words for the log; "" where it can, and then its coming is counted."""
        block = _block(client)
        if self.total >= config.max_connections:
            return "too many connections in all"
        if self._clients[client] >= config.max_connections_per_client:
            return "too many connections"
        if trusted:
            return ""
        if 0 < config.max_connections_per_network <= self._blocks[block]:
            return f"too many connections from {block}"
        if not self._take("client", client, config.connections_per_minute, now):
            return "too many connections in a minute"
        if not self._take("block", block, config.connections_per_minute_per_network, now):
            return f"too many connections in a minute from {block}"
        return ""

    def _take(self, kind: str, key: str, count: int, now: float) -> bool:
        if not count or not key:
            return True
        rates = self._rates.get(kind)
        if rates is None or rates.limit.count != count:
            rates = self._rates[kind] = Counters(Limit(count=count, period=MINUTE), MAX_KEYS)
        return not rates.take(key, now)

    def enter(self, client: str) -> None:
        self.total += 1
        self._clients[client] += 1
        self._blocks[_block(client)] += 1

    def leave(self, client: str) -> None:
        self.total -= 1
        for counter, key in ((self._clients, client), (self._blocks, _block(client))):
            counter[key] -= 1
            if counter[key] <= 0:
                del counter[key]


@lru_cache(maxsize=4096)
def _block(client: str) -> str:
    address = parse_client(client)
    return block_of(address) if address is not None else ""
