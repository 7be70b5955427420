"""The map in the package's docstring tells the truth: every name in it can be imported."""

import importlib
import pkgutil
import re

import pytest

import relaygw

NAMES = sorted(set(re.findall(r"\brelaygw\.[a-z_.]*[a-z_]", relaygw.__doc__ or "")))


def test_the_map_has_the_whole_way_of_a_message() -> None:
    assert {"relaygw.ingress", "relaygw.filters", "relaygw.spool", "relaygw.queue", "relaygw.egress"} <= set(NAMES)


def test_every_folder_and_file_at_the_top_is_on_the_map() -> None:
    there = {f"relaygw.{module.name}" for module in pkgutil.iter_modules(relaygw.__path__)}
    assert there - set(NAMES) == set()


@pytest.mark.parametrize("name", NAMES)
def test_a_name_on_the_map_exists(name: str) -> None:
    importlib.import_module(name)


def test_every_module_says_what_it_is() -> None:
    silent = []
    for module in pkgutil.walk_packages(relaygw.__path__, "relaygw."):
        if module.name.endswith("__main__"):
            continue  # importing it runs the command
        if not (importlib.import_module(module.name).__doc__ or "").strip():
            silent.append(module.name)
    assert not silent
