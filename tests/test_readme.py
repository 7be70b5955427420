"""What the README shows works as printed: the plugin, its configuration, and every link."""

import re
import tomllib
from pathlib import Path

import pytest

from relaygw.core.verdict import PASS, Action, Phase
from relaygw.interfaces import IFilter
from relaygw.plugins import load_plugin
from relaygw.testing.filters import make_services, make_transaction, run_filter

PROJECT = Path(__file__).resolve().parents[1]
README = (PROJECT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]


def block(language: str, containing: str) -> str:
    """The one code block of this language that holds the text."""
    found = [code for code in re.findall(rf"```{language}\n(.*?)```", README, re.S) if containing in code]
    assert len(found) == 1
    return found[0]


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> IFilter:
    (tmp_path / "friday.py").write_text(block("python", "NoNewsletters"), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    (use,) = tomllib.loads(block("toml", "friday:NoNewsletters"))["filter"]
    made: IFilter = load_plugin("relaygw.filters", use["use"], use["options"], make_services())
    return made


def test_the_plugin_of_the_readme_refuses_newsletters_and_nothing_else(plugin: IFilter) -> None:
    newsletter = run_filter(plugin, Phase.MAIL, make_transaction(sender="newsletter@example.org"))
    assert newsletter.action is Action.REJECT
    assert newsletter.reply is not None
    assert str(newsletter.reply) == "550 5.7.1 no newsletters here"
    assert run_filter(plugin, Phase.MAIL, make_transaction(sender="alice@example.org")) is PASS
    assert run_filter(plugin, Phase.MAIL, make_transaction(sender=None)) is PASS


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), target
