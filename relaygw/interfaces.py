"""Every plug point, on one page. `verifyObject` refuses a plugin that does not fit, at start, with a clear word.

A plugin is named in the configuration as an entry point (groups relaygw.filters, relaygw.rewriters,
relaygw.transports, relaygw.tables, relaygw.directories) or as `module:object`. The object is called as
`object(options, services)`: its own table of options from the configuration, and Services. What it returns must
provide the interface. The parts we ship enter by the same door.

Methods said to answer "now or later" may return the value or an awaitable (coroutine, Deferred) of it.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence, Set
from typing import Any

import attrs
from zope.interface import Attribute, Interface, implementer

from relaygw.core.address import Address
from relaygw.core.content import Content
from relaygw.core.envelope import Envelope
from relaygw.core.events import Event
from relaygw.core.outcome import Outcome
from relaygw.core.question import Answer, Question
from relaygw.core.record import RecipientState, Record, Route
from relaygw.core.scram import ScramKeys
from relaygw.core.selection import Selection
from relaygw.core.session import Transaction
from relaygw.core.trash import Aside, Trashed
from relaygw.core.verdict import Phase, Verdict


class IResolver(Interface):
    """Answers DNS questions; failure is a value."""

    def ask(question: Question) -> Awaitable[Answer]:
        """Never raises for anything the network does."""


class IFilter(Interface):
    """A question about a session, a transaction or its content. It decides; it cannot change anything."""

    phases: frozenset[Phase] = Attribute("The phases in which `check` wants to be asked.")

    def check(phase: Phase, transaction: Transaction) -> Verdict | Awaitable[Verdict]:
        """The verdict, now or later. In phases connect and hello the envelope is empty."""


class IAuthenticating(Interface):
    """What a filter may provide besides IFilter: it finds out who sent a message."""

    methods: tuple[str, ...] = Attribute(
        "The methods of Authentication-Results it reports. Where it breaks, the result of each is told as temperror."
    )


class IObserver(Interface):
    """What a filter may provide besides IFilter: it is told what happens in the sessions it is asked about."""

    def observe(event: Event) -> None:
        """One event of a session, from Connected to Disconnected, as the journal gets it. Answers at once."""


class IRewriter(Interface):
    """A change asked for by name: on listeners made once, before the commit; on routes at each attempt, before signing.

    On a route it may change recipients, but neither add nor remove any."""

    def rewrite(envelope: Envelope, head: bytes) -> tuple[Envelope, bytes]:
        """The new envelope and header section; either may be returned as it was. What it raises makes mail wait."""


class ITransport(Interface):
    """One way to hand messages on. It sees one attempt at a time and nothing of the queue."""

    def destination(route: Route, recipient: Address) -> str:
        """What concurrency is counted by: recipients of one record with one destination travel in one attempt."""

    def deliver(attempt: "Attempt") -> Awaitable[tuple[Outcome, ...]]:
        """Exactly one outcome per recipient of the attempt. What it raises counts as deferred for all of them."""

    def stop() -> Awaitable[None]:
        """Close what is open. Called once, when no attempt runs."""


class ILocator(Interface):
    """What a transport may provide besides ITransport: it finds out where mail for a domain goes before it is
    attempted. Several domains may then have one destination, and still recipients of two never travel together."""

    def locate(route: Route, recipient: Address) -> Awaitable[None] | None:
        """Learn what `destination` should answer for the recipient; None: it answers that already.

        It is asked at the start of an attempt. Failing is no harm: `destination` then answers as before.
        """


class IOneDestination(Interface):
    """What a transport may provide besides ITransport: all mail of a route has one destination, whoever it is for. So
    operators who look for what waits there need not look at every message."""


class ISources(Interface):
    """What a transport may provide besides ITransport for the same end, where several domains have one destination."""

    def domains_of(names: Set[str]) -> Iterable[str]:
        """The domains whose mail may go to a destination of one of these names, those below a domain as ".domain".

        Where a recipient was tried before at a host of this name need not be known."""


class IPreparer(Interface):
    """What a transport may provide besides ITransport: part of its work is done while an attempt still waits in line,
    so that no connection waits for it."""

    def prepare(record: Record, content: Content) -> object:
        """Begin with what needs no next hop, and answer at once. `deliver` finds the answer in its attempt; it may not
        be asked at all, or by an attempt without it."""


class IRouteChecker(Interface):
    """What a transport may provide besides ITransport: it is asked about its routes when the configuration is read."""

    def check(route: Route) -> tuple[str, ...]:
        """What is wrong with the route's parameters, one sentence each; empty when nothing is."""


class IRehearser(Interface):
    """What a transport may provide besides ITransport: it tells how it would hand mail on, and hands none on."""

    def rehearse(route: Route, recipient: Address, connect: bool) -> "Awaitable[Rehearsal]":
        """The hosts it would try now; with `connect` it talks to them as far as EHLO and TLS."""


class ISigner(Interface):
    """Signs our own mail at every attempt (DKIM); the content itself stays as it is."""

    def sign(record: Record, content: Content) -> Awaitable[bytes]:
        """Complete header fields to put on top of the content, b"" where no key of ours is meant for the message."""


class ISpool(Interface):
    """Durable store of records and their content. No method assumes that this process is the only one.

    A claimed record belongs to the claimer until its lease ends. All methods raise SpoolError when the store fails.
    """

    def sink() -> "ISink":
        """Where the content of one arriving message is written before its commit."""

    def commit(record: Record, sink: "ISink", prefix: bytes, lease: float) -> Awaitable[Content]:
        """Store record and `prefix` + the sink's bytes; when it answers, both survive power loss.

        From the call on the sink belongs to the spool, also when the commit fails.
        The record is already claimed until `lease` (0: not claimed). Answers the content as stored.
        """

    def settle(settlement: "Settlement") -> Awaitable[None]:
        """Store the changed record, or remove it with its content when finished; add new messages; all or nothing.

        A record that is gone (removed by an operator, settled before) stays gone: nothing of the settlement is done.
        Nor is anything added a second time where the answer was lost: the record stands as it should then.
        """

    def claim(now: float, lease: float, limit: int, owner: str | None = None) -> Awaitable[tuple[Record, ...]]:
        """At most `limit` records due by `now` and claimed by nobody, now claimed until `lease`; earliest due first.
        Only those of one owner (relaygw.core.owner), where one is named."""

    def look(now: float, lease: float, limit: int, mark: "Mark", passed: Set[str]) -> Awaitable["Found"]:
        """The same behind `mark`, in order of due time, and nothing of the owners to be `passed` over: how those are
        found who are due behind a crowd. However large the crowd, it looks at a bounded number of records."""

    def take(queue_id: str, now: float, lease: float) -> Awaitable[Record | None]:
        """Claim this one record, due or not, held or not, until `lease`; None: not there, or claimed at `now`."""

    def renew(queue_ids: Sequence[str], lease: float) -> Awaitable[None]:
        """Let the claims on these records last until `lease`. Those that are gone are passed over."""

    def release(queue_id: str) -> Awaitable[None]:
        """Give a claim back without a change."""

    def record(queue_id: str) -> Awaitable[Record | None]:
        """The record as last committed."""

    def content(queue_id: str) -> Awaitable[Content | None]:
        """The content as last committed. It stays readable while the record exists."""

    def search(selection: Selection, after: str, limit: int, now: float) -> Awaitable[tuple[tuple[Record, ...], str]]:
        """Records that may be meant, at most `limit`, in order of queue id from those greater than `after`, and after
        which id to go on ("": nothing is left). None that is meant is left out, others may be among them, and there
        may be none while there is more: each step is a short one. Ages are those of `now`."""

    def take_all(queue_ids: Sequence[str], now: float, lease: float) -> Awaitable[tuple[Record, ...]]:
        """`take` for many at once; those that are not there or claimed are left out."""

    def settle_all(settlements: "Sequence[Settlement]") -> Awaitable[None]:
        """`settle` for many at once, each for itself; all or nothing."""

    def named(queue_ids: Sequence[str]) -> Awaitable[tuple[Record, ...]]:
        """The records of these ids as last committed; those that are not there are left out."""

    def contents(queue_ids: Sequence[str]) -> Awaitable[Mapping[str, Content]]:
        """The contents of these ids; those that are not there are left out."""

    def records(after: str, limit: int) -> Awaitable[tuple[Record, ...]]:
        """A page of records in order of queue id, those greater than `after`."""

    def count() -> Awaitable[int]:
        """How many records there are."""

    def close() -> Awaitable[None]:
        """Finish what was begun, give all claims back, and let go."""


class ITrash(Interface):
    """What a spool provides besides ISpool to keep what operators removed, for a while, apart from the queue.

    It keeps what settlements put aside, with a content of its own, as safe as anything in the queue.
    """

    def trashed(after: int, limit: int) -> Awaitable[tuple[tuple[Trashed, ...], int]]:
        """A page of what is kept, in order of removal, behind the entry `after`, and where the next one begins (0:
        nowhere)."""

    def trashed_of(queue_ids: Sequence[str]) -> Awaitable[tuple[Trashed, ...]]:
        """What is kept of these messages."""

    def restore(entries: Sequence[int]) -> Awaitable[tuple[Record, ...]]:
        """Let them be in the queue again and in the trash no more, in one step. Passed over are those that are not
        there, and those whose message is still in the queue: an order brings them back."""

    def purge(entries: Sequence[int]) -> Awaitable[None]:
        """Let go of these for good."""

    def expire(before: float, limit: int) -> Awaitable[tuple[str, ...]]:
        """Let go of at most `limit` that were removed before this time; their queue ids."""

    def oldest() -> Awaitable[float]:
        """When the first of what is kept was removed (infinity: nothing is)."""

    def trash_count() -> Awaitable[int]:
        """How many entries are kept."""


class ISink(Interface):
    """The content of one arriving message: in memory while small, spilled to a file beyond a limit."""

    size: int = Attribute("Octets written so far.")

    def write(data: bytes) -> None:
        """Append; raises SpoolError when the disk is full or fails."""

    def content() -> Content:
        """What was written so far, readable until commit or abort."""

    def abort() -> None:
        """Forget it. Harmless after a commit or a second time."""


class ITable(Interface):
    """A lookup: key → values."""

    def lookup(key: str) -> tuple[str, ...] | Awaitable[tuple[str, ...]]:
        """The values, now or later; empty when the key is not there. Raises when the table cannot be asked."""


class IEntries(Interface):
    """What a table may provide besides ITable: it is kept in memory, answers at once, and shows what it holds."""

    def entries() -> Iterable[tuple[str, tuple[str, ...]]]:
        """All keys with their values."""


class IDirectory(Interface):
    """Who exists here. For credentials it also offers `twisted.cred` checkers."""

    checkers: tuple[Any, ...] = Attribute("ICredentialsChecker objects, whose avatar id is the account's name.")

    def account(address: Address) -> "Account | None | Awaitable[Account | None]":
        """The account that receives mail for a local address, now or later; None: no such mailbox."""

    def named(login: str) -> "Account | None | Awaitable[Account | None]":
        """The account that logs in under this name, now or later."""


class IScramDirectory(Interface):
    """What a directory may provide besides IDirectory: keys that let its people log in without showing a password."""

    def scram_keys(login: str) -> ScramKeys | None | Awaitable[ScramKeys | None]:
        """The keys of whoever logs in under this name, now or later; None: nobody, or somebody without keys."""

    def scram_rounds() -> tuple[int, ...]:
        """The iteration counts that keys have, each once; empty where somebody who has a password has no keys: clients
        that see an offer try nothing else."""


class IAccount(Interface):
    """What a login through the portal is for: ask it for this interface and it answers an Account."""


class SpoolError(Exception):
    """The spool could not do what was asked (disk full, I/O error, closed). Temporary by definition: 4xx."""


@implementer(IAccount)
@attrs.frozen(kw_only=True)
class Account:
    """`name` is the login; `addresses` what it receives and may send as; `mailbox` its mailbox's directory name."""

    name: str
    addresses: tuple[Address, ...]
    mailbox: str


@attrs.frozen(kw_only=True)
class Attempt:
    """What a transport gets: some recipients of one record, one route, the content. `started` in POSIX seconds.

    `messages_per_connection` is the most this destination wants over one connection; 0 is as the transport sees fit.
    `prepared` is what the transport itself answered to `prepare` for this message, where it was asked (IPreparer).
    """

    record: Record
    recipients: tuple[RecipientState, ...]
    route: Route
    content: Content
    started: float
    messages_per_connection: int = 0
    prepared: object = None


@attrs.frozen(kw_only=True)
class Rehearsal:
    """`hosts` are documents for operators (docs/cli.md), in the order of attempts. `credentials` names a login, never
    its secret. Where there is no host, `refusal` says why; `permanent` whether mail would fail and not wait."""

    hosts: tuple[Mapping[str, Any], ...] = ()
    credentials: str = ""
    refusal: str = ""
    permanent: bool = False


@attrs.frozen(kw_only=True)
class NewMessage:
    """A message made by ourselves, such as a DSN."""

    record: Record
    content: bytes


@attrs.frozen(kw_only=True)
class Settlement:
    """One step of a message's life, committed as a whole. A finished record is removed with its content. `aside` is
    what it does to the trash.

    `release` gives the claim back (the record waits for its next due time)."""

    record: Record
    added: tuple[NewMessage, ...] = ()
    release: bool = True
    aside: Aside | None = None


Mark = tuple[float, str, int]
"""A place in a spool's order of due times. (t, "", 0) is before all that is due at t or later."""


@attrs.frozen(kw_only=True)
class Found:
    """What a look came upon, now claimed. `mark` is where the next look goes on. `next_due` is when there may be more:
    something falls due, or the claim on it ends (infinity: never); None while the look has not come to its end."""

    records: tuple[Record, ...]
    mark: Mark
    next_due: float | None


@attrs.frozen(kw_only=True)
class Services:
    """What a plugin may use. `spawn(name, awaitable)` runs a task beside; its failure is journaled, stop cancels it."""

    hostname: str
    resolver: Any  # IResolver
    reactor: Any  # IReactorTime, IReactorTCP …
    state: str  # the state directory
    spawn: Callable[[str, Awaitable[Any]], None]
    settings: Any = None  # relaygw.config.schema.Config, for the parts we ship
    signer: Any = None  # ISigner, for transports that hand mail on to other hosts; None: nothing is signed
    directory: Any = None  # IDirectory
    store: Any = None  # relaygw.mailbox.store.Store
    tables: Mapping[str, Any] = attrs.field(factory=dict)  # ITable, by the names in the configuration
    write_event: Callable[[Event], None] = lambda event: None  # into the journal
    allowance: Any = None  # relaygw.filters.allowance.Allowance, for filters that ask about mail; None: no bounds
    shadow: bool = False  # for filters: what this one answers has no effect
    at_round_end: Callable[[Callable[[], None]], None] = lambda action: action()  # soon, with others


Options = Mapping[str, Any]
"""A plugin's own table of options, as TOML gave it."""
