"""What all sessions of one listener share: its rules and the people it hands things to. Built once, by the factory."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, Self

import attrs
from twisted.internet.interfaces import IReactorTime

from relaygw.aliases import Aliases
from relaygw.config.schema import LimitsConfig
from relaygw.core.address import Address
from relaygw.core.content import Content
from relaygw.core.events import Event
from relaygw.core.permission import Permission
from relaygw.core.record import Record
from relaygw.core.session import Role, Transaction
from relaygw.core.verdict import Action, AuthResult, Phase, Verdict
from relaygw.holds import HoldBook
from relaygw.ingress.binding import Binding
from relaygw.ingress.inventory import Inventory
from relaygw.ingress.pressure import Pressure
from relaygw.ingress.quotas import Quotas
from relaygw.interfaces import IDirectory, IRewriter, ISpool
from relaygw.rounds import at_once
from relaygw.sasl import Authenticator
from relaygw.tls import ServerTls


class Findings(Protocol):
    """What the filters say in one phase, or (`then`) in several: the chain's result as this layer sees it.

    `action` is PASS, REJECT, DEFER or DISCARD, and for the refusals `verdict.reply` is set.
    """

    @property
    def verdict(self) -> Verdict: ...
    @property
    def action(self) -> Action: ...
    @property
    def fields(self) -> tuple[bytes, ...]: ...
    @property
    def auth(self) -> tuple[AuthResult, ...]: ...
    @property
    def results(self) -> Mapping[str, object]: ...
    @property
    def quarantine(self) -> str: ...
    @property
    def hold(self) -> str: ...
    def then(self, later: Self) -> Self: ...


class Chain(Protocol):
    """The filters of this listener; see `relaygw.filters.chain`."""

    def ask(self, phase: Phase, transaction: Transaction) -> Findings | Awaitable[Findings]: ...


@attrs.frozen
class RewriterUse:
    """A rewriter under its name in the configuration."""

    name: str
    rewriter: IRewriter


@attrs.frozen(kw_only=True)
class House:
    """`extensions` are those whose parameters this listener understands. `tls` None: no STARTTLS here.

    `authenticator` None: nobody logs in here; `auth_in_clear` tells whether AUTH is offered without TLS too.
    `shut` answers why a client is not even let in, None where it is. `postmaster` is who a bare `<postmaster>` is.
    `new_id` names sessions and messages; `now` is POSIX time; `lease` is for how many seconds a committed record
    belongs to this process, which gets it through `offer`. `at_round_end` does what is given to it soon, with the
    same of others (rounds.py).

    Strangers are greeted after `greeting_delay` seconds. `adds_fields`: missing Date and Message-ID are added, as they
    are on submission. `wants_quarantined` tells whether routes ask for a message that filters put in quarantine, of
    which it is given the header section; others are held. Where `aliases`, `binding`, `quotas`, `holds`, `pressure` or
    `inventory` is None, nobody is asked.
    """

    hostname: str
    listener: str
    role: Role
    limits: LimitsConfig
    permission: Permission
    postmaster: Address
    directory: IDirectory
    chain: Chain
    spool: ISpool
    journal: Callable[[Event], None]
    offer: Callable[[Record, Content], None]
    new_id: Callable[[], str]
    now: Callable[[], float]
    clock: IReactorTime
    lease: float
    at_round_end: Callable[[Callable[[], None]], None] = at_once
    tls: ServerTls | None = None
    implicit_tls: bool = False
    authenticator: Authenticator | None = None
    auth_in_clear: bool = False
    shut: Callable[[str], object | None] = lambda client: None
    greeting_delay: float = 0.0
    line_ends: str = "reject"
    adds_fields: bool = False
    rewriters: tuple[RewriterUse, ...] = ()
    wants_quarantined: Callable[[Record, bytes], bool] = lambda record, head: False
    aliases: Aliases | None = None
    binding: Binding | None = None
    quotas: Quotas | None = None
    holds: HoldBook | None = None
    pressure: Pressure | None = None
    inventory: Inventory | None = None

    @property
    def extensions(self) -> frozenset[str]:
        return EXTENSIONS | {"AUTH"} if self.authenticator is not None else EXTENSIONS


EXTENSIONS = frozenset(
    {"PIPELINING", "SIZE", "8BITMIME", "BINARYMIME", "CHUNKING", "SMTPUTF8", "DSN", "LIMITS", "ENHANCEDSTATUSCODES"}
)
