"""The layers of the map hold: core is pure, no layer imports a sibling; only the composition root knows all."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import relaygw

ROOT = Path(relaygw.__file__).parent
SIBLINGS = {"ingress", "filters", "tables", "rewriters", "spool", "queue", "egress", "mailbox", "control", "cli"}
IMPURE = {
    "twisted", "socket", "ssl", "os", "pathlib", "time", "random", "secrets", "asyncio", "threading", "subprocess",
    "sqlite3", "dns", "OpenSSL", "klein", "treq", "zope", "io", "tempfile", "shutil",
}  # fmt: skip
# The command line is a second composition root: it may reach whatever it works on when the service is down.
COMPOSITION = {"tap", "gateway", "cli"}


def imports(path: Path) -> Iterator[str]:
    """The dotted names a module imports, wherever the import stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


MODULES = sorted(ROOT.rglob("*.py"))


def test_there_is_something_to_walk() -> None:
    assert len(MODULES) > 20


@pytest.mark.parametrize("path", [p for p in MODULES if layer(p) == "core"], ids=str)
def test_core_is_pure(path: Path) -> None:
    for name in imports(path):
        top, _, rest = name.partition(".")
        assert top not in IMPURE, f"{name} does not belong in core"
        if top == "relaygw":
            assert rest.split(".")[0] == "core", f"core must not know {name}"


@pytest.mark.parametrize("path", [p for p in MODULES if layer(p) in SIBLINGS - COMPOSITION], ids=str)
def test_siblings_meet_only_in_the_composition_root(path: Path) -> None:
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "relaygw" or len(parts) == 1:
            continue
        assert parts[1] not in (SIBLINGS | COMPOSITION) - {layer(path)}, f"{layer(path)} must not import {name}"


@pytest.mark.parametrize("path", [p for p in MODULES if layer(p) not in COMPOSITION | {"testing"}], ids=str)
def test_no_module_takes_the_global_reactor(path: Path) -> None:
    assert "twisted.internet.reactor" not in set(imports(path))
