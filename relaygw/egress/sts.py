"""MTA-STS policies of domains: announced in the DNS, fetched over HTTPS, kept in the state directory (RFC 8461).

A policy once fetched holds until its time is over, whatever becomes of record and server meanwhile: who can suppress
them must not be able to switch the protection off. So policies are fetched again daily, whether mail goes there or not,
and an operator is told where that fails (RFC 8461 3.3). What could not be fetched is not tried again for a while.
"""

import contextlib
import json
import os
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from relaygw.core.events import Event, PolicyNotRenewed
from relaygw.core.question import AnswerStatus, Question
from relaygw.core.sts import MAX_POLICY, KeptPolicy, Mode, StsError, StsPolicy, parse_policy, record_id
from relaygw.egress.https import Https, HttpsError
from relaygw.interfaces import IResolver

FETCH_TIMEOUT = 60.0
"""Seconds for a policy (RFC 8461 3.3)."""

PAUSE = 300.0
"""Seconds without a further try after one that failed (RFC 8461 3.3)."""

ROUND = 3600.0
"""Seconds between two looks at all policies that are kept."""

WARN = 86_400.0
"""Seconds until an operator is told once more that a policy cannot be fetched again."""

MAX_KNOWN = 10_000
"""Domains in memory, and policies in the folder; of more the one longest unused is forgotten."""


@attrs.frozen(kw_only=True)
class StsFound:
    """The policy to follow, or None and why. `failure` is what TLS reports call it where one should have been there;
    `unknown`: later there may be one."""

    policy: StsPolicy | None = None
    why: str = ""
    failure: str = ""
    unknown: bool = False


class PolicyFolder:
    """One small file per domain. A file that cannot be read or written costs a fetch, no more."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._tidied = False

    def load(self, domain: str) -> KeptPolicy | None:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, StsError):
            with open(self._file(domain), encoding="utf-8") as file:
                kept = json.loads(file.read(2 * MAX_POLICY))
            policy = parse_policy("\n".join(kept["policy"]).encode("utf-8"))
            return KeptPolicy(id=str(kept["id"]), policy=policy, fetched=float(kept["fetched"]))
        return None

    def save(self, domain: str, kept: KeptPolicy) -> None:
        text = json.dumps({"id": kept.id, "fetched": kept.fetched, "policy": kept.policy.lines()}, indent=1)
        with contextlib.suppress(OSError):
            os.makedirs(self._path, mode=0o700, exist_ok=True)
            unfinished = f"{self._file(domain)}.new"
            with open(unfinished, "w", encoding="utf-8") as file:
                file.write(f"{text}\n")
            os.replace(unfinished, self._file(domain))
        if not self._tidied:
            self._tidied = True
            self._tidy()

    def domains(self) -> list[str]:
        """Of which there are policies."""
        with contextlib.suppress(OSError):
            return [name.removesuffix(".json") for name in os.listdir(self._path) if name.endswith(".json")]
        return []

    def _tidy(self) -> None:
        """Let go of the oldest beyond MAX_KNOWN; once in the life of a process is often enough."""
        with contextlib.suppress(OSError):
            files = sorted(os.scandir(self._path), key=lambda entry: entry.stat().st_mtime, reverse=True)
            for entry in files[MAX_KNOWN:]:
                os.unlink(entry.path)

    def _file(self, domain: str) -> str:
        # A domain of ours has letters, digits, dashes and dots: no path can be made of it.
        return os.path.join(self._path, f"{domain}.json")


class StsPolicies:
    """`fetch` answers the octets of a domain's policy, or raises HttpsError or StsError."""

    def __init__(
        self,
        resolver: IResolver,
        folder: PolicyFolder,
        clock: Any,
        fetch: Callable[[str], Awaitable[bytes]],
        spawn: Callable[[str, Awaitable[Any]], None],
        write_event: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self._resolver = resolver
        self._folder = folder
        self._clock = clock
        self._fetch = fetch
        self._spawn = spawn
        self._write_event = write_event
        self._next_round: float = clock.seconds() + ROUND
        self._warned: OrderedDict[str, float] = OrderedDict()
        self._known: OrderedDict[str, KeptPolicy | None] = OrderedDict()
        self._failed: OrderedDict[str, tuple[float, StsFound]] = OrderedDict()
        self._waiting: dict[str, list[Deferred[StsFound]]] = {}

    async def find(self, domain: str) -> StsFound:
        """What the domain wants; never raises for what the network does."""
        found = await self._find(domain)
        if self._clock.seconds() >= self._next_round:
            self._next_round = self._clock.seconds() + ROUND
            self._spawn("fetch ageing MTA-STS policies again", self._renew())
        return found

    async def _renew(self) -> None:
        """Whatever is kept and ageing, one after the other. Where nothing is announced any more, it may end."""
        for domain in self._folder.domains():
            kept = self._known.get(domain) or self._folder.load(domain)
            await deferLater(self._clock, 0.0)  # reading thousands of files, others have their turn too
            if kept is None or not kept.valid(self._clock.seconds()) or not kept.ageing(self._clock.seconds()):
                continue
            announced = record_id((await self._resolver.ask(Question(f"_mta-sts.{domain}", "TXT"))).records)
            if announced and domain not in self._waiting and self._may_try(domain):
                await self._fetched(domain, announced)

    async def _find(self, domain: str) -> StsFound:
        answer = await self._resolver.ask(Question(f"_mta-sts.{domain}", "TXT"))
        announced = record_id(answer.records)
        kept = self._kept(domain)
        if not announced:
            if kept is not None:
                return _following(kept)
            failed = answer.status is AnswerStatus.FAILED
            why = "its announcement cannot be looked up" if failed else "the domain announces none"
            return StsFound(why=why, unknown=failed)
        if kept is None or kept.id != announced:
            found = await self._fetched(domain, announced)
            return found if found.policy is not None or kept is None else _following(kept)
        if kept.ageing(self._clock.seconds()) and domain not in self._waiting and self._may_try(domain):
            self._spawn(f"fetch the MTA-STS policy of {domain} again", self._fetched(domain, announced))
        return _following(kept)

    def _kept(self, domain: str) -> KeptPolicy | None:
        """From memory, or the folder; None where it is over."""
        if domain not in self._known:
            self._remember(domain, self._folder.load(domain))
        self._known.move_to_end(domain)
        kept = self._known[domain]
        return kept if kept is not None and kept.valid(self._clock.seconds()) else None

    def _remember(self, domain: str, kept: KeptPolicy | None) -> None:
        self._known[domain] = kept
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)

    async def _fetched(self, domain: str, announced: str) -> StsFound:
        """One fetch at a time for a domain; whoever else asks gets its result."""
        if domain in self._waiting:
            waiter: Deferred[StsFound] = Deferred()
            self._waiting[domain].append(waiter)
            return await waiter
        if not self._may_try(domain):
            return self._failed[domain][1]
        self._waiting[domain] = []
        # What comes when nobody can finish it: the others must not wait for ever.
        found = StsFound(why="the fetch was broken off", failure="sts-policy-fetch-error", unknown=True)
        try:
            found = await self._try(domain, announced)
        finally:
            for waiter in self._waiting.pop(domain):
                if not waiter.called:
                    waiter.callback(found)
        return found

    async def _try(self, domain: str, announced: str) -> StsFound:
        try:
            policy = parse_policy(await self._fetch(domain))
        except HttpsError as error:
            word = "sts-webpki-invalid" if error.untrusted else "sts-policy-fetch-error"
            return self._not_fetched(domain, word, str(error))
        except StsError as error:
            return self._not_fetched(domain, "sts-policy-invalid", str(error))
        kept = KeptPolicy(id=announced, policy=policy, fetched=self._clock.seconds())
        self._failed.pop(domain, None)
        self._warned.pop(domain, None)
        self._remember(domain, kept)
        self._folder.save(domain, kept)
        return _following(kept)

    def _not_fetched(self, domain: str, word: str, reason: str) -> StsFound:
        found = StsFound(why=f"its policy cannot be fetched: {reason}", failure=word, unknown=True)
        self._failed[domain] = self._clock.seconds() + PAUSE, found
        self._failed.move_to_end(domain)
        while len(self._failed) > MAX_KNOWN:
            self._failed.popitem(last=False)
        self._warn(domain, found)
        return found

    def _warn(self, domain: str, found: StsFound) -> None:
        """While a policy is kept, nobody would notice before it ends."""
        kept, now = self._kept(domain), self._clock.seconds()
        if kept is None or kept.policy.mode is Mode.NONE or now < self._warned.get(domain, now):
            return
        self._warned[domain] = now + WARN
        while len(self._warned) > MAX_KNOWN:
            self._warned.popitem(last=False)
        left = kept.fetched + kept.policy.max_age - now
        self._write_event(
            PolicyNotRenewed(
                domain=domain, mode=kept.policy.mode.value, result=found.failure, reason=found.why, seconds=int(left)
            )
        )

    def _may_try(self, domain: str) -> bool:
        until, _ = self._failed.get(domain, (0.0, None))
        left = until - self._clock.seconds()
        return not 0 < left <= PAUSE + 1.0  # more is left by a clock that was put back meanwhile


def _following(kept: KeptPolicy) -> StsFound:
    if kept.policy.mode is Mode.NONE:
        return StsFound(why="the domain's policy says none")
    return StsFound(policy=kept.policy, why=f"the domain's policy {kept.id} says {kept.policy.mode.value}")


def fetch_by(https: Https, timeout: float = FETCH_TIMEOUT) -> Callable[[str], Awaitable[bytes]]:
    """How policies are fetched from the world (RFC 8461 3.3)."""

    async def fetch(domain: str) -> bytes:
        url = f"https://mta-sts.{domain}/.well-known/mta-sts.txt"
        page = await https.get(url, timeout=timeout, limit=MAX_POLICY)
        if page.status != 200:
            raise HttpsError(f"the server answered {page.status}")
        if page.kind != "text/plain":
            raise StsError("its media type is not text/plain")
        return page.body

    return fetch
