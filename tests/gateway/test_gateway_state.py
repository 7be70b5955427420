"""A state directory that cannot be used is told in a sentence that says what to do."""

import os
from pathlib import Path

import pytest

from relaygw.gateway.state import own_state


def test_it_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    own_state(str(tmp_path / "state"))
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    own_state(str(tmp_path / "state"))


def test_a_place_that_cannot_be_one_is_told_with_who_must_own_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"the state directory .*/file: File exists; the user .* must own it"):
        own_state(str(tmp_path / "file"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_somebody_elses_is_told_by_whose_it_must_be(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o500)
    with pytest.raises(OSError, match=r"Permission denied; the user .* must own it"):
        own_state(str(tmp_path / "state"))
