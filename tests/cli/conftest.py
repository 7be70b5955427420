"""How a test runs a verb on a working directory. A module says in its fixture `written` what `init` is to make once;
each of its tests gets a copy.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from verbs import Run

from relaygw.cli.main import main


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    shutil.copytree(written, tmp_path / "d")
    return tmp_path / "d"


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a verb with --json: exit code, document, what people read on standard error."""

    def run_verb(*arguments: str) -> tuple[int, Any, str]:
        capsys.readouterr()
        status = main(["--config", str(folder / "relaygw.toml"), "--json", *arguments])
        told = capsys.readouterr()
        return status, json.loads(told.out), told.err

    return run_verb


@pytest.fixture
def text(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a verb as people do: what they read."""

    def run_verb(*arguments: str) -> str:
        capsys.readouterr()
        main(["--config", str(folder / "relaygw.toml"), *arguments])
        return capsys.readouterr().out

    return run_verb
