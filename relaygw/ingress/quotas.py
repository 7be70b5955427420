"""Quotas: mail beyond them is accepted and held, and its owner and the postmaster are told once (per hour, per day).

A stolen login is stopped without a single refusal to a rightful user, and what is held waits for people to look at it.
The counts outlive a restart: they are written to a file every few seconds, in a thread; a crash forgets seconds.
"""

import contextlib
import json
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import attrs

from relaygw.bridge import resolve
from relaygw.config.schema import QuotaConfig
from relaygw.core.address import Address
from relaygw.core.alert import make_alert
from relaygw.core.client import block_of, parse_client
from relaygw.core.content import Content
from relaygw.core.envelope import path
from relaygw.core.events import Accepted, Event, QuotaExceeded, TaskFailed
from relaygw.core.quota import Amounts, Excess, Ledger, Limits
from relaygw.core.record import Record
from relaygw.core.session import Session
from relaygw.interfaces import IDirectory, ISpool

WRITE_EVERY = 5.0
"""Seconds between two writings of the counts."""


@attrs.frozen(kw_only=True)
class Held:
    """A message is beyond a quota: the reason for which it is held, and what is told about it."""

    quota: str
    key: str
    login: str
    client: str
    listener: str
    excesses: tuple[Excess, ...]

    @property
    def reason(self) -> str:
        return f"quota {self.quota}: {self.key}: {'; '.join(map(str, self.excesses))}"

    @property
    def untold(self) -> tuple[Excess, ...]:
        return tuple(excess for excess in self.excesses if excess.first)


@attrs.frozen(kw_only=True)
class Office:
    """Those who alerts need. `lead` tells where mail to an address goes where it is an alias of ours."""

    hostname: str
    postmaster: Address
    directory: IDirectory
    spool: ISpool
    offer: Callable[[Record, Content], None]
    lease: float
    new_id: Callable[[], str]
    journal: Callable[[Event], None]
    spawn: Callable[[str, Awaitable[Any]], None]
    lead: Callable[[Address], Sequence[Address]] = lambda address: (address,)


class Quotas:
    """All quotas of one configuration, over a ledger that outlives it."""

    def __init__(self, quotas: Sequence[QuotaConfig], ledger: Ledger, office: Office, now: Callable[[], float]) -> None:
        self._quotas = tuple((quota, _limits(quota)) for quota in quotas)
        self._ledger = ledger
        self._office = office
        self._now = now

    def charge(self, session: Session, recipients: int, octets: int) -> Held | None:
        """Count a message that is about to be accepted: what it is to be held for, or None."""
        if not self._quotas:
            return None
        used, found = Amounts(1, recipients, octets), None
        for quota, limits, key in self._matching(session):
            excesses = self._ledger.charge(f"{quota.name}\0{key}", limits, used, self._now())
            if excesses and found is None:
                found = Held(
                    quota=quota.name,
                    key=key,
                    login=session.login,
                    client=session.client,
                    listener=session.listener,
                    excesses=excesses,
                )
        return found

    def _matching(self, session: Session) -> Iterator[tuple[QuotaConfig, Limits, str]]:
        """Of each kind the first that matches, with what it counts by."""
        done: set[str] = set()
        for quota, limits in self._quotas:
            if quota.per not in done and (key := _key(quota, session)):
                done.add(quota.per)
                yield quota, limits, key

    def report(self, record: Record, held: Held) -> None:
        """The message is stored and held: say so, to people once in each window."""
        office = self._office
        told = bool(held.untold)
        office.journal(
            QuotaExceeded(
                session=record.session_id,
                queue_id=record.queue_id,
                quota=held.quota,
                key=held.key,
                reason=held.reason,
                client=held.client,
                login=held.login,
                told=told,
            )
        )
        if told:
            self._mark(held, True)
            office.spawn("tell about a quota", self._tell(record, held))

    def _mark(self, held: Held, told: bool) -> None:
        for excess in held.untold:
            self._ledger.told(f"{held.quota}\0{held.key}", excess.span, excess.since, told)

    async def _tell(self, record: Record, held: Held) -> None:
        """What cannot be stored now is told with the next message beyond the quota."""
        try:
            await self._alert(record, held)
        except BaseException:
            self._mark(held, False)
            raise

    async def _alert(self, record: Record, held: Held) -> None:
        """One message of ours to the owner of the login and to the postmaster."""
        office, now = self._office, self._now()
        to = await self._people(held)
        alert, data = make_alert(
            queue_id=office.new_id(),
            hostname=office.hostname,
            to=to,
            subject=f"Mail is held: {held.key} is beyond the quota {held.quota}",
            paragraphs=_paragraphs(record, held),
            now=now,
        )
        sink = office.spool.sink()
        sink.write(data)
        content = await office.spool.commit(alert, sink, b"", now + office.lease)
        office.journal(
            Accepted(
                queue_id=alert.queue_id,
                origin=alert.origin.value,
                sender=path(None),
                recipients=tuple(map(str, to)),
                size=alert.size,
                message_id=alert.message_id,
            )
        )
        office.offer(alert, content)

    async def _people(self, held: Held) -> tuple[Address, ...]:
        """A directory that cannot be asked leaves the postmaster."""
        owner: tuple[Address, ...] = ()
        if held.login:
            with contextlib.suppress(Exception):
                account = await resolve(self._office.directory.named(held.login))
                owner = account.addresses[:1] if account is not None else ()
        people = dict.fromkeys((*owner, self._office.postmaster))
        return tuple(dict.fromkeys(end for address in people for end in self._office.lead(address) or (address,)))


def _limits(quota: QuotaConfig) -> Limits:
    return Limits(
        hour=Amounts(quota.messages_per_hour, quota.recipients_per_hour, quota.bytes_per_hour),
        day=Amounts(quota.messages_per_day, quota.recipients_per_day, quota.bytes_per_day),
    )


_address = lru_cache(maxsize=4096)(parse_client)


def _key(quota: QuotaConfig, session: Session) -> str:
    """What the quota counts this session by; "" where it is not for it."""
    if quota.listeners and session.listener not in quota.listeners:
        return ""
    if quota.logins and session.login not in quota.logins:
        return ""
    network = ""
    if quota.networks:
        client = _address(session.client)
        network = next((str(each) for each in quota.networks if client is not None and client in each), "")
        if not network:
            return ""
    if quota.per == "login":
        return session.login
    if quota.per == "network":
        return network
    address = _address(session.client)
    return block_of(address) if address is not None and address.version == 6 else session.client


def _paragraphs(record: Record, held: Held) -> tuple[str, ...]:
    who = f"the login {held.login}" if held.login else f"the client {held.client or 'on this machine'}"
    by = f"--client {held.client}" if held.client else record.queue_id
    which = f"--login {held.login}" if held.login else by
    return (
        f"Mail that {who} sends is beyond what the quota {held.quota!r} allows for {held.key}: "
        + "; ".join(map(str, held.excesses))
        + f". It was sent by {held.client or 'a local client'} over the listener {held.listener}.",
        "It was accepted and is held: nothing of it is sent on, and nothing is lost. It is not written to you about "
        "this again before the hour (or the day) of the quota is over.",
        "If you did not send it, change the password of the login now: somebody else may have it.",
        "To look at what is held, to send it on after all, or to throw it away, an operator says:",
        f"  relaygw queue list --held {which}",
        f"  relaygw queue release --held {which}",
        f"  relaygw queue remove --held {which}",
    )


class LedgerFile:
    """The counts on disk. Its methods may wait for the disk: they are called in a thread, or at start and stop."""

    def __init__(self, path: str, journal: Callable[[Event], None]) -> None:
        self._path = path
        self._journal = journal

    def read(self, ledger: Ledger) -> None:
        """What was written last; where it cannot be read, counting begins anew."""
        try:
            with open(self._path, encoding="utf-8") as file:
                ledger.load(json.load(file))
        except FileNotFoundError:
            return
        except (OSError, ValueError, RecursionError) as error:
            self._complain("read", error)

    def write(self, rows: list[list[Any]]) -> None:
        """Replace the file in one step; where that fails the journal is told, and the next time may be better."""
        new = f"{self._path}.new"
        try:
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with open(descriptor, "w", encoding="utf-8") as file:
                json.dump(rows, file)
            os.replace(new, self._path)
        except OSError as error:
            self._complain("write", error)

    def _complain(self, what: str, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"[:300]
        self._journal(TaskFailed(task=f"{what} the counts of quotas", error=text))
