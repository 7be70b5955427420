"""docs/rfc.md: every test it names is there, every "yes" and "partly" names one, and every extension stands in it."""

import re
from pathlib import Path

import pytest

from relaygw.ingress.house import EXTENSIONS

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "rfc.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")] for line in TEXT.splitlines() if re.match(r"\| [\d—]", line)
]


def test_there_are_rows_and_each_has_its_answer() -> None:
    assert len(ROWS) > 40
    for rfc, about, answer, _, shown in ROWS:
        assert answer in ("yes", "partly", "no"), rfc
        assert about, rfc
        assert shown or answer == "no", rfc


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`(tests/[^`]+)`", TEXT))))
def test_the_test_is_there(path: str) -> None:
    assert (ROOT / path).exists()


def test_what_is_partly_done_says_what_is_missing() -> None:
    for rfc, _, answer, text, _ in ROWS:
        assert text or answer == "yes" or rfc in ("7162", "9051"), rfc


def test_every_extension_announced_stands_there() -> None:
    words = " ".join(about for _, about, *_ in ROWS)
    for extension in EXTENSIONS - {"ENHANCEDSTATUSCODES"} | {"REQUIRETLS", "STARTTLS", "AUTH"}:
        assert extension in words
