"""Destinations as JSON: what does something or is held back, by any of its names, no more than is asked for."""

import pytest

from relaygw.control import queue
from relaygw.control.asked import BadRequest
from relaygw.core.health import Care
from relaygw.core.lane import Standing
from relaygw.core.lanes import Lanes
from relaygw.core.shaping import Shape

NOW = 1_800_000_000.0


class Some:
    """The destinations of a scheduler: one works, one rests, one is only remembered."""

    def __init__(self) -> None:
        lanes: Lanes[str] = Lanes(10, lambda destination: Shape(care=Care(initial=2, most=2), layers=("all",)))
        for place, jobs in (("mx1.example,mx2.example", 3), ("quiet.example", 1)):
            for job in range(jobs):
                lanes.enter(("mx", place), "alice", str(job), NOW)
        lanes.answered(("mx", "quiet.example"), NOW, 1.0)
        lanes.leave(("mx", "quiet.example"), "alice", NOW)
        lanes.rest(("mx", "google"), NOW, 600.0, "too fast")
        self.standings = tuple(lanes.standings(NOW))

    def destinations(self, name: str = "") -> tuple[Standing, ...]:
        return tuple(each for each in self.standings if name in ("", each.destination[1]))


def names(**given: object) -> list[str]:
    return [each["destination"] for each in queue.destinations(Some(), given)["destinations"]]  # type: ignore[arg-type]  # all that is asked


def test_what_does_something_or_is_held_back_is_listed_and_the_rest_on_request() -> None:
    assert names() == ["mx1.example,mx2.example", "google"]
    assert sorted(names(all="true")) == ["google", "mx1.example,mx2.example", "quiet.example"]
    assert names(name="quiet.example") == ["quiet.example"]


def test_each_tells_its_numbers_and_a_reason() -> None:
    works, rests = queue.destinations(Some(), {})["destinations"]  # type: ignore[arg-type]  # all that is asked
    assert works == {
        "destination": "mx1.example,mx2.example",
        "transport": "mx",
        "running": 2,
        "waiting": 1,
        "limit": 2,
        "resting_until": None,
        "probing": False,
        "shaping": ["all"],
        "why": "Its configured limit of 2 at once is reached.",
    }
    assert (rests["limit"], rests["resting_until"]) == (0, "2027-01-15T08:10:00.000Z")
    assert rests["why"] == "It rests for 10 minutes, then one attempt probes it: too fast."


def test_a_limit_leaves_off_and_says_how_many() -> None:
    document = queue.destinations(Some(), {"limit": "1"})  # type: ignore[arg-type]  # all that is asked
    assert (len(document["destinations"]), document["left_off"]) == (1, 1)
    with pytest.raises(BadRequest):
        names(limit="x")
