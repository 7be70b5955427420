"""Looks at the DNS for the records of our DKIM keys, now and then: keys advance by it, and it is told where a record
and its key differ. The signer gets other keys without a restart.

A look is bounded: so many questions at once, each with the resolver's own limit, and the next look waits for this one.
Files are read and written in a thread.
"""

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import Deferred, DeferredLock, DeferredSemaphore, gatherResults
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from relaygw import keybook, keys
from relaygw.bridge import as_deferred, deferred
from relaygw.config.schema import Config
from relaygw.core import dkim_rotation
from relaygw.core.dkim_rotation import Key, Name, Ring, Stage, View
from relaygw.core.dkim_watch import Alarm, Sighting, alarms, sight
from relaygw.core.events import Event, KeyAdvanced, KeyTrouble, TaskFailed
from relaygw.dns import consult
from relaygw.egress.signatories import DkimError, NamedKey, load_keys
from relaygw.gateway.parts import Parts
from relaygw.interfaces import IResolver
from relaygw.keybook import BookError
from relaygw.tasks import describe

FIRST_LOOK = 5.0
"""Seconds after the start."""

QUESTIONS_AT_ONCE = 8

T = TypeVar("T")


async def look_at(ring: Ring, resolver: IResolver) -> Mapping[Name, Sighting]:
    """What the DNS shows of these keys now."""
    at_once = DeferredSemaphore(QUESTIONS_AT_ONCE)

    def ask(key: Key) -> Deferred[Sighting]:
        return as_deferred(consult(sight(key), resolver))

    found = await gatherResults([at_once.run(ask, key) for key in ring], consumeErrors=True)
    return {key.name: sighting for key, sighting in zip(ring, found, strict=True)}


class KeyWatch:
    """`parts` answers those in use; `pool` runs what reads and writes files."""

    def __init__(
        self, *, parts: Callable[[], Parts], reactor: Any, pool: ThreadPool, write_event: Callable[[Event], None]
    ) -> None:
        self._parts = parts
        self._reactor = reactor
        self._pool = pool
        self._write_event = write_event
        self._call: IDelayedCall | None = None
        self._looking: Deferred[None] | None = None
        self._turn = DeferredLock()
        self._stopped = True
        self._ring: Ring = ()
        self._alarms: tuple[Alarm, ...] = ()
        self._unusable: frozenset[Name] = frozenset()

    def start(self) -> None:
        """Look in a moment, and from then on."""
        self._stopped = False
        with contextlib.suppress(BookError):  # the first look tells it
            self._ring = keybook.all_keys(self._parts().config)
        self._again(FIRST_LOOK)

    def stop(self) -> None:
        """Look no more; a look that runs is left where it is."""
        self._stopped = True
        if self._call is not None and self._call.active():
            self._call.cancel()
        if self._looking is not None:
            self._looking.cancel()

    def look(self) -> Deferred[None]:
        """Look now, after the look that runs if there is one."""
        looked: Deferred[None] = self._turn.run(self._begin)
        return looked

    def status(self) -> Mapping[str, Any]:
        """What `relaygw status` tells, and the metrics count."""
        ring = self._ring
        return {
            "signing": sum(key.signs for key in ring),
            "waiting": sum(key.stage in dkim_rotation.WAITING and not key.signs for key in ring),
            "retired": sum(key.stage is Stage.RETIRED for key in ring),
            "unknown": sum(key.view is View.UNKNOWN for key in ring),
            "alarms": len(self._alarms),
            "serious": sum(alarm.serious for alarm in self._alarms),
            "problems": [f"{each.selector}._domainkey.{each.domain}: {each.message}" for each in self._alarms],
        }

    def _again(self, seconds: float) -> None:
        if self._call is not None and self._call.active():
            self._call.cancel()
        if not self._stopped:
            self._call = self._reactor.callLater(seconds, self.look)

    def _begin(self) -> Deferred[None]:
        self._looking = self._look()
        return self._looking

    @deferred
    async def _look(self) -> None:
        if self._stopped:
            return
        parts = self._parts()
        try:
            ring = await self._in_thread(keybook.all_keys, parts.config)
            if ring or self._ring:
                await self._use(parts, await self._advanced(parts, ring))
        except (BookError, DkimError) as error:
            self._write_event(TaskFailed(task="look at the DKIM keys", error=str(error)))
        except Exception as error:
            if not self._stopped:
                self._write_event(TaskFailed(task="look at the DKIM keys", error=describe(error)))
        self._looking = None
        self._again(parts.config.key_rotation.interval)

    async def _advanced(self, parts: Parts, ring: Ring) -> Ring:
        """The keys as they are after this look."""
        sightings = await look_at(ring, parts.services.resolver)
        unusable = await self._in_thread(_unusable, ring)
        config, now = parts.config, float(self._reactor.seconds())
        before = {key.name: key for key in self._ring}

        def see(current: Ring) -> Ring:
            return tuple(_looked(_remembered(key, before), sightings, now) for key in current)

        def change(current: Ring) -> Ring:
            if not config.key_rotation.automatic:
                return see(current)
            times = keybook.times_of(config)
            return dkim_rotation.advance(see(current), now, times, lambda key: key.name not in unusable)

        try:
            after = await self._in_thread(keybook.update_keys, config, change)
        except BookError as error:
            # A step that is not kept is not taken: the next start would not know of it. What was seen is told.
            self._write_event(TaskFailed(task="keep the book of keys", error=str(error)))
            after = see(ring)
        for name in unusable - self._unusable:
            message = "its private key cannot be used: it will never sign"
            self._write_event(KeyTrouble(domain=name[0], selector=name[1], problem=message, serious=False))
        self._unusable = unusable
        return after

    async def _use(self, parts: Parts, ring: Ring) -> None:
        """Sign with what signs now, and tell what has changed."""
        signing = {_file(key): key for key in parts.signer.keys}
        if parts is self._parts() and [_file(key) for key in ring if key.signs] != list(signing):
            named = await self._in_thread(keybook.in_use, parts.config)
            added = await self._in_thread(load_keys, [key for key in named if _file(key) not in signing])
            signing |= {_file(key): key for key in added}
            parts.signer.use([signing[_file(key)] for key in named])
        self._tell(ring, parts.config)

    def _tell(self, ring: Ring, config: Config) -> None:
        before = {key.name: key.stage for key in self._ring}
        for key in ring:
            was = before.get(key.name)
            if was is not None and was is not key.stage:
                self._write_event(
                    KeyAdvanced(domain=key.domain, selector=key.selector, before=was.value, stage=key.stage.value)
                )
        found = alarms(ring, float(self._reactor.seconds()), keybook.times_of(config))
        self._alarm({(each.domain, each.selector): each for each in found})
        self._ring, self._alarms = ring, found

    def _alarm(self, found: Mapping[Name, Alarm]) -> None:
        """Each trouble once when it begins, and once when it is over; not at every look."""
        known = {(each.domain, each.selector): each for each in self._alarms}
        for name, alarm in found.items():
            if name not in known or known[name].serious is not alarm.serious:
                self._write_event(
                    KeyTrouble(domain=name[0], selector=name[1], problem=alarm.message, serious=alarm.serious)
                )
        for name in known.keys() - found.keys():
            self._write_event(KeyTrouble(domain=name[0], selector=name[1], problem="", serious=False))

    def _in_thread(self, function: Callable[..., T], *arguments: Any) -> Awaitable[T]:
        running: Awaitable[T] = deferToThreadPool(self._reactor, self._pool, function, *arguments)
        return running


def _file(key: NamedKey) -> tuple[str, str, str]:
    return key.domain, key.selector, key.private_key


def _remembered(key: Key, before: Mapping[Name, Key]) -> Key:
    """What was seen of a key that only the configuration knows is remembered here, and not in the book."""
    known = before.get(key.name)
    if known is None or not key.configured or key.view is not View.UNKNOWN or known.record != key.record:
        return key
    return attrs.evolve(key, view=known.view, fault=known.fault, seen=known.seen)


def _looked(key: Key, sightings: Mapping[Name, Sighting], now: float) -> Key:
    sighting = sightings.get(key.name)
    if sighting is None:  # it is new since we asked
        return key
    return dkim_rotation.looked(key, sighting.view, sighting.fault, now)


def _unusable(ring: Sequence[Key]) -> frozenset[Name]:
    """Those about to sign whose private key cannot be loaded, or is another one than that of the record."""
    found = set()
    for key in ring:
        if key.stage in (Stage.PUBLISHED, Stage.SEEN):
            try:
                (loaded,) = load_keys((key,))
                fits = keys.record_of(loaded.private) == key.record
            except DkimError:
                fits = False
            if not fits:
                found.add(key.name)
    return frozenset(found)
