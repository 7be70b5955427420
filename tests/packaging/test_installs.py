"""However it is installed, `twistd relaygw` and `relaygw` are there: wheel, sdist, a plain install and an editable one.

Each goes into a fresh virtual environment that sees the test environment's packages, so that only relaygw is built.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(not (PROJECT / ".git").exists(), reason="needs the project's checkout to build from")


def _run(*command: str | Path, cwd: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "RELAYGW_CONFIG")}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean copy of what is in the working tree, as a clone would have it."""
    folder = tmp_path_factory.mktemp("source") / "relaygw"
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT, capture_output=True, check=True, text=True,
    ).stdout.split("\0")  # fmt: skip
    for name in filter(None, names):
        if (PROJECT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, folder / name)
    return folder


def _environment(folder: Path) -> Path:
    """A virtual environment whose own relaygw, and no other, is found; third-party packages come from ours."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    libraries = Path(sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})["purelib"])
    shared = folder / "shared"
    shared.mkdir()
    for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if "relaygw" not in entry.name and entry.name not in ("twisted", "__pycache__"):
            (shared / entry.name).symlink_to(entry)
    # Twisted's plugin folder is written to by installs: the environment gets its own copy of the package's frame.
    stock = Path(sysconfig.get_paths()["purelib"]) / "twisted"
    own = libraries / "twisted"
    own.mkdir(parents=True)
    for entry in stock.iterdir():
        if entry.name != "plugins":
            (own / entry.name).symlink_to(entry)
    (own / "plugins").mkdir()
    for entry in (stock / "plugins").iterdir():
        if "relaygw" not in entry.name and entry.suffix == ".py":
            shutil.copy2(entry, own / "plugins" / entry.name)
    (libraries / "shared.pth").write_text(f"{shared}\n")
    return folder / "bin" / "python"


def _pip(python: Path, *arguments: str | Path, cwd: Path) -> None:
    _run(sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", *arguments, cwd=cwd)


def _works(python: Path, cwd: Path) -> None:
    script = "import sys; from twisted.scripts.twistd import run; sys.argv = ['twistd', '--help']; run()"
    listing = _run(python, "-c", script, cwd=cwd)
    assert "relaygw" in listing
    assert "usage" in _run(python.parent / "relaygw", "--help", cwd=cwd).lower()


@pytest.mark.parametrize("form", ["wheel", "sdist", "plain", "editable"])
def test_an_install_gives_both_commands(form: str, source: Path, tmp_path: Path) -> None:
    python = _environment(tmp_path / "environment")
    options = ["install", "--no-deps", "--no-build-isolation", "--quiet"]
    if form in ("wheel", "sdist"):
        script = f"from setuptools import build_meta as b; print(b.build_{form}({str(tmp_path)!r}))"
        built = _run(sys.executable, "-c", script, cwd=source).splitlines()[-1]
        _pip(python, *options, tmp_path / built, cwd=tmp_path)
    else:
        _pip(python, *options, *(["-e"] if form == "editable" else []), source, cwd=tmp_path)
    _works(python, tmp_path)
