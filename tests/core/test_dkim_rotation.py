"""Keys are rotated so that no mail is signed with a key that nobody sees and none goes unsigned: every cell of the
table, and every path that time, the DNS and operators may take."""

import itertools
from collections.abc import Sequence

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relaygw.core import dkim_rotation
from relaygw.core.dkim_rotation import (
    TRANSITIONS,
    WAITING,
    Key,
    Ring,
    RotationError,
    Stage,
    Step,
    Times,
    View,
    advance,
    looked,
    step,
    to_keep,
    with_configured,
)

TIMES = Times(settle=3600, keep=7 * 86400)


def key(selector: str = "s1", stage: Stage = Stage.GENERATED, algorithm: str = "rsa", **facts: object) -> Key:
    base = Key(
        domain="example.com",
        selector=selector,
        algorithm=algorithm,
        private_key=f"/dkim/{selector}.pem",
        record=f"v=DKIM1; k=rsa; p={selector}",
        stage=stage,
    )
    return attrs.evolve(base, **facts)  # type: ignore[arg-type]  # any of its fields


@pytest.mark.parametrize(("stage", "what"), list(itertools.product(Stage, Step)))
def test_every_cell_of_the_table_is_a_step_or_a_refusal(stage: Stage, what: Step) -> None:
    wanted = TRANSITIONS.get((stage, what))
    if wanted is None:
        with pytest.raises(RotationError, match=f"is {stage.value}: it cannot be {what.value}"):
            step(key(stage=stage), what, 5.0)
    else:
        after = step(key(stage=stage), what, 5.0)
        assert (after.stage, after.since) == (wanted, 5.0)


def test_a_key_that_signs_is_only_ever_replaced_and_a_revoked_one_stays_so() -> None:
    assert {what for stage, what in TRANSITIONS if stage is Stage.SIGNING} == {Step.REPLACED}
    assert not [what for stage, what in TRANSITIONS if stage is Stage.REVOKED]


def stages(ring: Ring) -> dict[str, str]:
    return {each.selector: each.stage.value for each in ring}


def test_a_rotation_from_the_first_look_to_the_last() -> None:
    old, new = key("old", Stage.SIGNING, made=1), key("new", made=2)
    ring: Ring = (old, new)

    def at(now: float, view: View) -> dict[str, str]:
        nonlocal ring
        ring = advance((ring[0], looked(ring[1], view, "", now)), now, TIMES)
        return stages(ring)

    assert at(0, View.MISSING) == {"old": "signing", "new": "generated"}
    assert at(100, View.RIGHT) == {"old": "signing", "new": "published"}
    assert at(3699, View.RIGHT) == {"old": "signing", "new": "published"}, "not yet for an hour"
    assert at(3700, View.RIGHT) == {"old": "retired", "new": "signing"}
    assert at(3700 + TIMES.keep - 1, View.RIGHT) == {"old": "retired", "new": "signing"}
    assert at(3700 + TIMES.keep, View.RIGHT) == {"old": "revoked", "new": "signing"}


def test_a_record_that_goes_away_begins_the_wait_anew_and_a_dns_that_fails_does_not() -> None:
    ring: Ring = (key("old", Stage.SIGNING, made=1), looked(key("new", made=2), View.RIGHT, "", 0))
    unknown = looked(ring[1], View.UNKNOWN, "timeout", 4000)
    assert (unknown.stage, unknown.seen) == (Stage.PUBLISHED, 0)
    assert stages(advance((ring[0], unknown), 4000, TIMES))["new"] == "published", "it must be there when it takes over"
    gone = looked(ring[1], View.WRONG, "another key", 3000)
    assert (gone.stage, gone.seen) == (Stage.GENERATED, None)
    back = looked(gone, View.RIGHT, "", 4000)
    assert stages(advance((ring[0], back), 4000, TIMES))["new"] == "published"
    assert stages(advance((ring[0], looked(back, View.RIGHT, "", 7600)), 7600, TIMES))["new"] == "signing"


def test_the_first_key_of_a_line_signs_as_soon_as_it_is_seen() -> None:
    rsa = key("s1", Stage.SIGNING, made=1)
    ring = advance((rsa, looked(key("ed", algorithm="ed25519", made=2), View.RIGHT, "", 10)), 10, TIMES)
    assert stages(ring) == {"s1": "signing", "ed": "signing"}, "and it replaces no key of another algorithm"


def test_a_key_that_cannot_be_loaded_never_takes_over() -> None:
    ring: Ring = (key("old", Stage.SIGNING, made=1), key("new", Stage.SEEN, made=2, view=View.RIGHT, seen=0.0))
    assert advance(ring, 10, TIMES, lambda each: each.selector != "new") == ring


def test_an_older_key_does_not_take_over_from_a_newer_one() -> None:
    ring: Ring = (key("new", Stage.SIGNING, made=2), key("old", Stage.SEEN, made=1, view=View.RIGHT, seen=0.0))
    assert advance(ring, 10, TIMES) == ring


def test_force_signs_with_what_nobody_sees_and_remembers_that() -> None:
    ring = dkim_rotation.force((key("old", Stage.SIGNING, made=1), key("new", made=2)), ("example.com", "new"), 5)
    assert stages(ring) == {"old": "retired", "new": "signing"}
    assert [each.forced for each in ring] == [False, True]
    assert not looked(ring[1], View.RIGHT, "", 6).forced
    back = dkim_rotation.force(ring, ("example.com", "old"), 7)
    assert stages(back) == {"old": "signing", "new": "retired"}, "the way back is open"
    with pytest.raises(RotationError, match="is signing: it cannot be forced"):
        dkim_rotation.force(back, ("example.com", "old"), 8)


def test_what_signs_cannot_be_revoked_and_what_is_under_way_only_by_force() -> None:
    ring: Ring = (key("a", Stage.SIGNING), key("b", Stage.RETIRED, since=0.0), key("c"))
    for forced in (False, True):
        with pytest.raises(RotationError, match="let another key take over first"):
            dkim_rotation.revoke(ring, ("example.com", "a"), 1, TIMES, forced)
    with pytest.raises(RotationError, match="may still be under way"):
        dkim_rotation.revoke(ring, ("example.com", "b"), TIMES.keep - 1, TIMES)
    assert stages(dkim_rotation.revoke(ring, ("example.com", "b"), TIMES.keep, TIMES))["b"] == "revoked"
    assert stages(dkim_rotation.revoke(ring, ("example.com", "b"), 1, TIMES, True))["b"] == "revoked"
    gone = dkim_rotation.revoke(ring, ("example.com", "c"), 1, TIMES)
    assert stages(dkim_rotation.forget(gone, ("example.com", "c"))) == {"a": "signing", "b": "retired"}
    with pytest.raises(RotationError, match="is retired: revoke it first"):
        dkim_rotation.forget(ring, ("example.com", "b"))
    with pytest.raises(RotationError, match=r"example\.com has no key z"):
        dkim_rotation.forget(ring, ("example.com", "z"))


def test_what_the_configuration_names_signs_and_is_replaced_like_any_other() -> None:
    named = key("s1")
    ring = with_configured((key("s2", made=2),), (named,))
    assert [(each.selector, each.signs) for each in ring] == [("s1", True), ("s2", False)]
    assert to_keep((key("s2", made=2),), ring) == (key("s2", made=2),), "the book does not repeat the configuration"
    after = advance((ring[0], attrs.evolve(ring[1], stage=Stage.SEEN)), 9, TIMES)
    kept = to_keep((key("s2", made=2),), after)
    assert stages(kept) == {"s2": "signing", "s1": "retired"}
    again = with_configured(kept, (named,))
    assert [each.selector for each in again if each.signs] == ["s2"], "its table counts no more"
    other = attrs.evolve(named, private_key="/dkim/other.pem")
    assert [each.private_key for each in with_configured(kept, (other,)) if each.signs] == [
        "/dkim/other.pem",
        "/dkim/s2.pem",
    ], "unless it now names another key"


def test_a_key_of_the_book_that_the_configuration_names_signs_before_it_is_seen() -> None:
    book = (key("s1", made=3),)
    (named,) = with_configured(book, book)
    assert named.signs
    assert named.stage is Stage.GENERATED
    ring = dkim_rotation.force((named, key("s2", made=4)), ("example.com", "s2"), 5)
    assert stages(ring) == {"s1": "retired", "s2": "signing"}


# Every path.

ACTS = st.one_of(
    st.tuples(st.just("look"), st.integers(0, 3), st.sampled_from(View)),
    st.tuples(st.just("wait"), st.sampled_from([60.0, 1800.0, 3600.0, 86400.0, 8 * 86400.0])),
    st.tuples(st.just("add"), st.sampled_from(["rsa", "ed25519"])),
    st.tuples(st.just("force"), st.integers(0, 3)),
    st.tuples(st.just("revoke"), st.integers(0, 3), st.booleans()),
    st.tuples(st.just("forget"), st.integers(0, 3)),
    st.tuples(st.just("unusable"), st.integers(0, 3)),
)


class World:
    """A ring under everything that may happen, and what must hold after each of it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.ring: Ring = (key("s0", Stage.SIGNING, made=0.0),)
        self.kept: Ring = ()
        self.unusable: set[str] = set()
        self.forced: set[str] = {"s0"}
        self.retired_at: dict[str, float] = {}
        self.pressed: set[str] = set()

    def act(self, what: str, *given: object) -> None:
        names = [each.name for each in self.ring]
        before = self.ring
        try:
            self._act(what, given, names)
        except RotationError:
            self.ring = before
        self.ring = advance(self.ring, self.now, TIMES, lambda each: each.selector not in self.unusable)
        self.check(before)

    def _act(self, what: str, given: Sequence[object], names: list[tuple[str, str]]) -> None:
        place = given[0] if given and isinstance(given[0], int) else 0
        name = names[place % len(names)] if names else ("", "")
        if what == "look":
            assert isinstance(given[1], View)
            fault = "" if given[1] is View.RIGHT else "f"
            self.ring = tuple(looked(e, given[1], fault, self.now) if e.name == name else e for e in self.ring)
        elif what == "wait":
            assert isinstance(given[0], float)
            self.now += given[0]
        elif what == "add":
            made = key(f"s{self.now:g}-{len(names)}", algorithm=str(given[0]), made=self.now, since=self.now)
            self.ring = dkim_rotation.add(self.ring, made)
        elif what == "force":
            self.ring = dkim_rotation.force(self.ring, name, self.now)
            self.forced.add(name[1])
        elif what == "revoke":
            self.ring = dkim_rotation.revoke(self.ring, name, self.now, TIMES, bool(given[1]))
            self.pressed.add(name[1])
        elif what == "forget":
            self.ring = dkim_rotation.forget(self.ring, name)
        elif what == "unusable":
            self.unusable.add(name[1])

    def check(self, before: Ring) -> None:
        was = {each.selector: each for each in before}
        for line in {each.line for each in before if each.signs}:
            assert any(each.signs for each in self.ring if each.line == line), "a line lost its last signing key"
        for line in {each.line for each in self.ring}:
            assert sum(each.signs for each in self.ring if each.line == line) <= 1
        for each in self.ring:
            old = was.get(each.selector)
            began = each.signs and (old is None or not old.signs)
            if began and each.selector not in self.forced:
                assert each.view is View.RIGHT, "it signs, and the DNS does not show it"
                assert each.seen is not None
                assert each.selector not in self.unusable
                others = [e for e in before if e.signs and e.line == each.line]
                assert not others or self.now - each.seen >= TIMES.settle
            if each.stage is Stage.RETIRED and (old is None or old.stage is not Stage.RETIRED):
                self.retired_at[each.selector] = self.now
            if each.stage is Stage.REVOKED and old is not None and old.stage is Stage.RETIRED:
                enough = self.now - self.retired_at[each.selector] >= TIMES.keep
                assert enough or each.selector in self.pressed, "its record went too early"
            if old is not None and old.stage is Stage.REVOKED:
                assert each.stage is Stage.REVOKED
            assert not (each.stage in WAITING and each.signs)


@given(st.lists(ACTS, max_size=40))
@settings(max_examples=150, deadline=None)
def test_no_path_breaks_a_promise(acts: list[tuple[object, ...]]) -> None:
    world = World()
    for act in acts:
        world.act(str(act[0]), *act[1:])
