"""The life of DKIM keys: from made to revoked, so that no mail is signed with a key the world cannot see, and none goes
unsigned where it was signed before. One table says which step is possible; time and what the DNS shows are arguments.

Keys of one domain and one algorithm are a line: one of them takes over from the others. A key that the configuration
names signs because somebody said so, whatever the DNS shows; that it is replaced is still told here.
"""

import enum
from collections.abc import Callable, Iterable, Sequence

import attrs


class Stage(enum.Enum):
    """What is known of a key."""

    GENERATED = "generated"  # it was made; its record is not in the DNS
    PUBLISHED = "published"  # its record is there; some may still remember that it was not
    SEEN = "seen"  # its record has been there for so long that everybody sees it
    SIGNING = "signing"
    RETIRED = "retired"  # it signs no more; mail it signed may still be under way
    REVOKED = "revoked"  # nothing it signed is to be believed; its record says so


class Step(enum.Enum):
    """What happens to a key."""

    FOUND = "found"  # the DNS shows its record
    LOST = "lost"  # the DNS shows none, or another
    SETTLED = "settled"  # the DNS has shown it for as long as caches remember
    CHOSEN = "chosen"  # it takes over
    FORCED = "forced"  # an operator says that it signs, seen or not
    REPLACED = "replaced"  # another one took over
    OUTLIVED = "outlived"  # no mail that it signed can be under way any more
    WITHDRAWN = "withdrawn"  # an operator wants it gone


S, T = Stage, Step
TRANSITIONS = {
    (S.GENERATED, T.FOUND): S.PUBLISHED,
    (S.PUBLISHED, T.LOST): S.GENERATED,
    (S.PUBLISHED, T.SETTLED): S.SEEN,
    (S.SEEN, T.LOST): S.GENERATED,
    (S.SEEN, T.CHOSEN): S.SIGNING,
    (S.SIGNING, T.REPLACED): S.RETIRED,
    (S.RETIRED, T.OUTLIVED): S.REVOKED,
    (S.GENERATED, T.FORCED): S.SIGNING,
    (S.PUBLISHED, T.FORCED): S.SIGNING,
    (S.SEEN, T.FORCED): S.SIGNING,
    (S.RETIRED, T.FORCED): S.SIGNING,  # back to the one before
    (S.GENERATED, T.WITHDRAWN): S.REVOKED,
    (S.PUBLISHED, T.WITHDRAWN): S.REVOKED,
    (S.SEEN, T.WITHDRAWN): S.REVOKED,
    (S.RETIRED, T.WITHDRAWN): S.REVOKED,
}
"""Every step there is. A key that signs is never lost, withdrawn or outlived: another one replaces it first."""

WAITING = frozenset({Stage.GENERATED, Stage.PUBLISHED, Stage.SEEN})
"""Stages before a key signs."""


class View(enum.Enum):
    """What the DNS showed when it was last asked."""

    UNKNOWN = "unknown"  # it was not asked, or did not answer
    RIGHT = "right"
    MISSING = "missing"
    WRONG = "wrong"  # something else stands there, or more than one record
    EMPTY = "empty"  # a record that revokes the key


class RotationError(Exception):
    """What was asked for would break a promise; the message says which."""


@attrs.frozen(kw_only=True)
class Times:
    """Seconds: `settle` is how long caches may remember that there was no record, `keep` how long mail may be under
    way after it was signed."""

    settle: float
    keep: float


Name = tuple[str, str]


@attrs.frozen(kw_only=True)
class Key:
    """One key. `record` is the value of its TXT record; `made` and `since` (when it came into its stage) in POSIX
    seconds; `seen` since when every answer has shown the record, None: the last one did not.

    `view` is that of the last answer and `fault` what was wrong with it. `configured`: the configuration names it.
    """

    domain: str
    selector: str
    algorithm: str
    private_key: str
    record: str
    seals: bool = False
    stage: Stage = Stage.GENERATED
    made: float = 0.0
    since: float = 0.0
    seen: float | None = None
    view: View = View.UNKNOWN
    fault: str = ""
    forced: bool = False
    configured: bool = False

    @property
    def name(self) -> Name:
        return self.domain, self.selector

    @property
    def line(self) -> Name:
        return self.domain, self.algorithm

    @property
    def signs(self) -> bool:
        """Whether mail is signed with it."""
        return self.stage is Stage.SIGNING or (self.configured and self.stage in WAITING)


Ring = tuple[Key, ...]


def step(key: Key, what: Step, now: float) -> Key:
    """The key after the step; raises RotationError where there is no such step."""
    stage = TRANSITIONS.get((key.stage, what))
    if stage is None:
        raise RotationError(f"the key {key.selector} of {key.domain} is {key.stage.value}: it cannot be {what.value}")
    return attrs.evolve(key, stage=stage, since=now)


def with_configured(kept: Iterable[Key], configured: Iterable[Key]) -> Ring:
    """The keys of the configuration, and then those that only the book has. One that both name is the book's, unless
    the configuration now names another file for it."""
    book = {key.name: key for key in kept}
    found = []
    for key in configured:
        own = book.pop(key.name, None)
        if own is not None and own.private_key == key.private_key:
            found.append(attrs.evolve(own, configured=True, seals=key.seals))
        else:
            found.append(attrs.evolve(key, stage=Stage.SIGNING, configured=True))
    return (*found, *(attrs.evolve(key, configured=False) for key in book.values()))


def looked(key: Key, view: View, fault: str, now: float) -> Key:
    """What an answer of the DNS changes. One that did not come changes nothing that is known."""
    if view is View.UNKNOWN:
        return attrs.evolve(key, view=view, fault=fault)
    there = view is View.RIGHT
    seen = (now if key.seen is None else key.seen) if there else None
    told = attrs.evolve(key, view=view, fault=fault, seen=seen, forced=key.forced and not there)
    what = Step.FOUND if there else Step.LOST
    return step(told, what, now) if (key.stage, what) in TRANSITIONS else told


def advance(ring: Ring, now: float, times: Times, usable: Callable[[Key], bool] = lambda _: True) -> Ring:
    """All steps that are due. `usable` tells whether a private key can be loaded: one that cannot never takes over."""
    ring = tuple(_settled(key, ring, now, times) for key in ring)
    for line in dict.fromkeys(key.line for key in ring):
        ready = successor([key for key in ring if key.stage is Stage.SEEN], ring, line)
        if ready is not None and usable(ready):
            ring = _take_over(ring, ready, Step.CHOSEN, now)
    return tuple(step(key, Step.OUTLIVED, now) if _outlived(key, now, times) else key for key in ring)


def _settled(key: Key, ring: Ring, now: float, times: Times) -> Key:
    """A first key need not wait: a signature that not everybody can verify yet is no worse than none."""
    if key.stage is not Stage.PUBLISHED or key.view is not View.RIGHT or key.seen is None:
        return key
    first = not any(other.signs for other in ring if other.line == key.line and other is not key)
    return step(key, Step.SETTLED, now) if first or now - key.seen >= times.settle else key


def successor(ready: Iterable[Key], ring: Ring, line: Name) -> Key | None:
    """The newest of them in the line, if it is newer than what signs there now."""
    newest = max((key for key in ready if key.line == line), key=lambda key: key.made, default=None)
    if newest is None or any(other.made >= newest.made for other in ring if _rivals(other, newest)):
        return None
    return newest


def _rivals(other: Key, key: Key) -> bool:
    return other.signs and other.line == key.line and other.name != key.name


def _take_over(ring: Ring, key: Key, what: Step, now: float) -> Ring:
    """The key signs, and every other one of its line that did signs no more: both at once."""
    found = []
    for each in ring:
        if each.name == key.name:
            found.append(step(each, what, now))
        elif _rivals(each, key):
            signing = each if each.stage is Stage.SIGNING else step(each, Step.FORCED, now)
            found.append(step(signing, Step.REPLACED, now))
        else:
            found.append(each)
    return tuple(found)


def _outlived(key: Key, now: float, times: Times) -> bool:
    return key.stage is Stage.RETIRED and now - key.since >= times.keep


# What operators ask for; each raises RotationError.


def add(ring: Ring, key: Key) -> Ring:
    """A new key, which does not sign yet."""
    if any(other.name == key.name for other in ring):
        raise RotationError(f"{key.domain} has a key {key.selector} already")
    return (*ring, attrs.evolve(key, stage=Stage.GENERATED))


def force(ring: Ring, name: Name, now: float) -> Ring:
    """The key signs from now on, seen or not."""
    key = find(ring, name)
    return _take_over(_with(ring, attrs.evolve(key, forced=key.view is not View.RIGHT)), key, Step.FORCED, now)


def revoke(ring: Ring, name: Name, now: float, times: Times, forced: bool = False) -> Ring:
    """The key is gone for good. One whose mail may still be under way only with `forced`."""
    key = find(ring, name)
    if key.signs:
        raise RotationError(f"mail is signed with {key.selector} of {key.domain}: let another key take over first")
    if key.stage is Stage.RETIRED and not _outlived(key, now, times) and not forced:
        raise RotationError(f"mail that {key.selector} of {key.domain} signed may still be under way")
    return _with(ring, step(key, Step.WITHDRAWN, now))


def forget(ring: Ring, name: Name) -> Ring:
    """Drop a key that is revoked."""
    key = find(ring, name)
    if key.stage is not Stage.REVOKED:
        raise RotationError(f"the key {key.selector} of {key.domain} is {key.stage.value}: revoke it first")
    return tuple(other for other in ring if other.name != name)


def find(ring: Ring, name: Name) -> Key:
    for key in ring:
        if key.name == name:
            return key
    raise RotationError(f"{name[0]} has no key {name[1]}")


def _with(ring: Ring, key: Key) -> Ring:
    return tuple(key if other.name == key.name else other for other in ring)


def to_keep(before: Sequence[Key], after: Ring) -> Ring:
    """What the book holds: all but those that only the configuration speaks of."""
    known = {key.name for key in before}
    return tuple(
        attrs.evolve(key, configured=False)
        for key in after
        if key.name in known or not key.configured or key.stage is not Stage.SIGNING
    )
