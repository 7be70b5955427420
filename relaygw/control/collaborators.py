"""What the control socket and the console are given to work on: narrow views of the parts that do the work."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

import attrs

from relaygw.config.schema import Config
from relaygw.core.address import Address
from relaygw.core.aliasing import Expansion
from relaygw.core.bans import Ban
from relaygw.core.envelope import Envelope
from relaygw.core.lane import Standing
from relaygw.core.orders import Order
from relaygw.core.record import Record, Route
from relaygw.core.selection import Selection
from relaygw.core.trash import Trashed
from relaygw.interfaces import Account, IResolver, Rehearsal


class Listed(Protocol):
    """One message of the queue and what it is doing."""

    @property
    def record(self) -> Record: ...

    @property
    def state(self) -> str: ...


class Listing(Protocol):
    """Part of the queue; `after` is where the next part begins, "" when this is the last."""

    @property
    def messages(self) -> Sequence[Listed]: ...

    @property
    def after(self) -> str: ...


class Done(Protocol):
    """The answer to an order for one message."""

    @property
    def queue_id(self) -> str: ...

    @property
    def done(self) -> bool: ...

    @property
    def message(self) -> str: ...


class Amount(Protocol):
    """How much is meant."""

    @property
    def messages(self) -> int: ...

    @property
    def recipients(self) -> int: ...


class Ordered(Protocol):
    """What orders for part of the queue came to; `after` is where the next part begins, "" when this was the last."""

    @property
    def answers(self) -> Sequence[Done]: ...

    @property
    def after(self) -> str: ...


class QueueOperations(Protocol):
    """The operator's side of the queue (relaygw.queue.operations). Its methods raise SpoolError.

    `runs`: there is a running queue, which knows destinations."""

    @property
    def runs(self) -> bool: ...

    def listing(self, selection: Selection, *, after: str = "", limit: int = 1000) -> Awaitable[Listing]: ...

    def count(self, selection: Selection) -> Awaitable[Amount]: ...

    def show(self, queue_id: str) -> Awaitable[Listed | None]: ...

    def why(self, queue_id: str) -> Awaitable[str]: ...

    def reason(self, record: Record) -> str: ...

    def destinations(self, name: str = "") -> Sequence[Standing]: ...

    def order(self, queue_id: str, order: Order) -> Awaitable[Done]: ...

    def order_some(self, selection: Selection, order: Order, *, after: str, limit: int) -> Awaitable[Ordered]: ...


class Kept(Protocol):
    """Part of the trash; `after` is where the next part begins, 0 when this is the last."""

    @property
    def entries(self) -> Sequence[Trashed]: ...

    @property
    def after(self) -> int: ...


class Back(Protocol):
    """What bringing back part of the trash, or letting go of it, came to."""

    @property
    def answers(self) -> Sequence[Done]: ...

    @property
    def after(self) -> int: ...


class TrashOperations(Protocol):
    """What operators removed (relaygw.queue.trash). `age` is for how many seconds it is kept."""

    @property
    def age(self) -> float: ...

    def listing(
        self, selection: Selection, *, within: float | None = None, after: int = 0, limit: int = 1000
    ) -> Awaitable[Kept]: ...

    def undo(
        self, selection: Selection, *, within: float | None = None, after: int = 0, limit: int = 100
    ) -> Awaitable[Back]: ...

    def purge(
        self, selection: Selection, *, within: float | None = None, after: int = 0, limit: int = 100
    ) -> Awaitable[Back]: ...


class DamagedMessage(Protocol):
    """A message that was set aside because it cannot be read, and why."""

    @property
    def queue_id(self) -> str: ...

    @property
    def error(self) -> str: ...


class SpoolOperations(Protocol):
    """The operator's side of the spool itself (relaygw.spool.desk): set-aside messages, and archives."""

    def damaged(self) -> Awaitable[Sequence[DamagedMessage]]: ...

    def retry(self, queue_id: str) -> Awaitable[str]: ...

    def remove(self, queue_id: str) -> Awaitable[str]: ...

    def take_in(self, path: str, offset: int) -> Awaitable[Mapping[str, Any]]: ...

    def reindex(self) -> Awaitable[None]: ...


class HoldOperations(Protocol):
    """The rules that hold mail as it comes in (relaygw.holds)."""

    def all(self) -> Sequence[Mapping[str, Any]]: ...

    def add(self, rule: Mapping[str, Any]) -> Mapping[str, Any]: ...

    def remove(self, name: str) -> bool: ...


class BanOperations(Protocol):
    """The operator's side of the bans (relaygw.bans). `add` raises BanError."""

    def all(self) -> Sequence[Ban]: ...

    def add(self, subject: str, seconds: float, reason: str) -> Ban: ...

    def lift(self, subject: str) -> Sequence[Ban]: ...


@attrs.frozen(kw_only=True)
class Reread:
    """The configuration was read again: with `problems` nothing changed; `waiting` waits for a restart."""

    problems: Sequence[str] = ()
    waiting: Sequence[str] = ()


Signing = Callable[[Record], Sequence[Mapping[str, Any]]]
"""The keys that sign a message where it is ours, as documents."""


def unsigned(_: Record) -> Sequence[Mapping[str, Any]]:
    return ()


class AddressOperations(Protocol):
    """What can be found out about addresses (relaygw.gateway.address_desk)."""

    def tables(self) -> Sequence[Mapping[str, Any]]: ...

    def entries(self, name: str) -> Sequence[tuple[str, tuple[str, ...]]] | None: ...

    def lookup(self, name: str, key: str) -> Awaitable[tuple[str, tuple[str, ...]]]: ...

    def expand(self, address: Address, sender: Address | None) -> Awaitable[Expansion]: ...

    def incoming(
        self, listener: str, envelope: Envelope, head: bytes
    ) -> tuple[Envelope, bytes, Sequence[Mapping[str, Any]]]: ...

    def outgoing(self, record: Record, route: Route, head: bytes) -> tuple[Record, Sequence[Mapping[str, Any]]]: ...

    def destination(self, route: Route, recipient: Address) -> Awaitable[str]: ...


async def _no_keys() -> Mapping[str, Any]:
    return {}


Rehearse = Callable[[Route, Address, bool], Awaitable[Rehearsal] | None]
"""How the transport of a route would hand mail on, with or without connecting; None where it does not tell."""


@attrs.frozen(kw_only=True)
class Collaborators:
    """The whole of it; everything is asked at every request, so that a reload shows at once.

    `trace(text, limit)` answers journal lines as JSON gave them (Journal.lookup). `reload()` reads the configuration
    again. `status()` answers whatever the service wants
    to tell of itself (docs/cli.md names the keys), `counts()` is Journal.counts. `account(address)` finds who receives
    a local address (IDirectory.account). `clock()` is POSIX seconds.
    `rehearse` asks the transports, `signing` the signer. `look_at_keys` asks the DNS for the DKIM keys' records now.
    Where `trash`, `spool`, `holds` or `addresses` is None, there is no such thing here.
    """

    settings: Callable[[], Config]
    queue: QueueOperations
    trace: Callable[[str, int], Awaitable[Sequence[Mapping[str, Any]]]]
    reload: Callable[[], Awaitable[Reread]]
    status: Callable[[], Mapping[str, Any] | Awaitable[Mapping[str, Any]]]
    counts: Callable[[], Mapping[tuple[str, str], int]]
    account: Callable[[Address], Account | None | Awaitable[Account | None]]
    resolver: IResolver
    clock: Callable[[], float]
    bans: BanOperations
    rehearse: Rehearse | None = None
    signing: Signing = unsigned
    look_at_keys: Callable[[], Awaitable[Mapping[str, Any]]] = _no_keys
    trash: TrashOperations | None = None
    spool: SpoolOperations | None = None
    holds: HoldOperations | None = None
    addresses: AddressOperations | None = None
