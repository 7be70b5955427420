"""Every file in tests/bad_configs is refused with exactly the problems its first lines tell (`#= LINE: path: message`).

To add a case, add a file; run the test once and it shows what relaygw says of it.
"""

from pathlib import Path

import pytest

from relaygw.config.load import ConfigError, load

FOLDER = Path(__file__).parent.parent / "bad_configs"
EXPECTED = "#= "


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_it_is_refused_with_every_problem_at_once(path: Path) -> None:
    expected = [line.removeprefix(EXPECTED) for line in path.read_text().splitlines() if line.startswith(EXPECTED)]
    with pytest.raises(ConfigError) as caught:
        load(path)
    problems = [str(problem).removeprefix(f"{path}:").removeprefix(" ") for problem in caught.value.problems]
    assert problems == expected
    assert str(caught.value).splitlines() == [str(problem) for problem in caught.value.problems]


def test_there_are_cases() -> None:
    assert len(list(FOLDER.glob("*.toml"))) >= 15


def test_a_file_that_cannot_be_read_is_one_problem(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load(tmp_path / "missing.toml")
    (tmp_path / "latin.toml").write_bytes(b'hostname = "\xe9"\n')
    with pytest.raises(ConfigError, match=r"is not UTF-8 text \(octet 12\)"):
        load(tmp_path / "latin.toml")
    (tmp_path / "deep.toml").write_text(f"a = {'[' * 10_000}")
    with pytest.raises(ConfigError, match=r"deep\.toml: its tables and lists are too deep$"):
        load(tmp_path / "deep.toml")
    with pytest.raises(ConfigError, match=r"^/dev/zero: is no configuration: it has more than \d+ octets$"):
        load("/dev/zero")


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    """Some editors begin every file with one; it was told as a wrong first line."""
    (tmp_path / "c.toml").write_bytes(b'\xef\xbb\xbfhostname = "mail.example.com"\n')
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "c.toml")
    assert {problem.path for problem in caught.value.problems} == {"state", "listener", "route"}
