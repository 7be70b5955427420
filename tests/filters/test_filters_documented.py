"""docs/filters.md describes every shipped filter and all options of those that judge clients; the examples work."""

import configparser
import importlib
import re
import tomllib
from pathlib import Path

import attrs
import pytest

from relaygw.config.load import load
from relaygw.config.schema import FilterConfig
from relaygw.filters.arc import ArcOptions
from relaygw.filters.dkim import DkimOptions
from relaygw.filters.dmarc import DmarcOptions
from relaygw.filters.dnsbl import DnsblOptions
from relaygw.filters.greylist import GreylistOptions
from relaygw.filters.hello import HelloOptions
from relaygw.filters.iprev import IprevOptions
from relaygw.filters.null_sender import NullSenderOptions
from relaygw.filters.rate import LimitOptions, RateOptions
from relaygw.filters.spf import SpfOptions
from relaygw.filters.uses import build_uses
from relaygw.testing.filters import make_services

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "filters.md").read_text(encoding="utf-8")


def shipped() -> dict[str, str]:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lines = setup["options.entry_points"]["relaygw.filters"].strip().splitlines()
    return dict(re.split(r"\s*=\s*", line, maxsplit=1) for line in lines)


def section(name: str) -> str:
    """What the page says from a filter's name on to the next one's."""
    start = DOCS.index(f"\n`{name}` — ")
    end = re.compile(r"\n(?:`\w+` — |## )").search(DOCS, start + 1)
    return DOCS[start : end.start() if end else None]


@pytest.mark.parametrize("name", sorted(shipped()))
def test_a_shipped_filter_is_described_and_can_be_imported(name: str) -> None:
    module, _, attribute = shipped()[name].partition(":")
    assert hasattr(importlib.import_module(module), attribute)
    assert len(section(name)) > 60


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("arc", ArcOptions),
        ("dkim", DkimOptions),
        ("dmarc", DmarcOptions),
        ("dnsbl", DnsblOptions),
        ("greylist", GreylistOptions),
        ("hello", HelloOptions),
        ("iprev", IprevOptions),
        ("null_sender", NullSenderOptions),
        ("rate", RateOptions),
        ("rate", LimitOptions),
        ("spf", SpfOptions),
    ],
)
def test_every_option_has_a_row_and_every_row_is_an_option(name: str, options: type) -> None:
    rows = set(re.findall(r"^\| `(\w+)` \|", section(name), re.MULTILINE))
    fields = {field.name for field in attrs.fields(options)}
    assert fields <= rows
    known = fields | {field.name for field in attrs.fields(LimitOptions if name == "rate" else options)}
    known |= {field.name for field in attrs.fields(RateOptions)} if name == "rate" else set()
    assert rows <= known


def test_the_sample_file_names_every_shipped_filter() -> None:
    sample = (ROOT / "etc" / "relaygw.toml").read_text(encoding="utf-8")
    [named] = re.findall(r"^# Which filter: (.*?), an installed one", sample, re.MULTILINE)
    assert sorted(named.split(", ")) == sorted(shipped())


@pytest.mark.parametrize("path", sorted((ROOT / "etc" / "examples").glob("*.toml")), ids=lambda path: path.stem)
def test_the_filters_of_the_examples_can_be_made(path: Path, tmp_path: Path) -> None:
    config = load(path)
    uses = build_uses(config.filters, make_services(settings=config, state=str(tmp_path)))
    assert [use.name for use in uses] == [each.name or each.use for each in config.filters]
    assert not list(tmp_path.iterdir()), "making filters touches no file"


def test_the_page_shows_options_that_work() -> None:
    """Each example of the page that uses a shipped filter is a sound configuration."""
    blocks = re.findall(r"```toml\n(.*?)```", DOCS, re.DOTALL)
    examples = [block for block in blocks if re.search(r'use = "(?:dnsbl|rate|spf)"', block)]
    assert len(examples) == 3
    for block in examples:
        [table] = tomllib.loads(block)["filter"]
        build_uses([FilterConfig(use=table["use"], options=table["options"])], make_services())
