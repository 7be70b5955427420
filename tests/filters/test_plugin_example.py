"""The filter shown in docs/filters.md loads by `module:object`, passes the suite, and rejects in a chain."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from relaygw.config.schema import FilterConfig
from relaygw.core.events import Event, Judged
from relaygw.core.reply import Reply
from relaygw.core.verdict import Phase
from relaygw.filters.chain import UNTOUCHED, Chain, ChainResult
from relaygw.filters.uses import build_uses
from relaygw.testing.filters import check_filter, make_services, make_session, make_transaction

PAGE = Path(__file__).parents[2] / "docs" / "filters.md"
CONFIG = FilterConfig(use="no_strangers:NoStrangers", options={"protected": ["everyone@example.org"]})


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The page's example as a module of its own, importable."""
    found = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    (tmp_path / "no_strangers.py").write_text(found[1], encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("no_strangers", None)


@pytest.mark.usefixtures("plugin")
def test_the_example_rejects_strangers_and_nobody_else() -> None:
    events: list[Event] = []
    uses = build_uses([CONFIG], make_services())
    check_filter(uses[0].filter)
    chain = Chain(uses, Clock(), events.append)
    refused = chain.ask(Phase.RCPT, make_transaction(recipient="everyone@example.org"))
    assert isinstance(refused, ChainResult)
    assert refused.verdict.reply == Reply(550, "5.7.1", "only for colleagues")
    assert [event.filter for event in events if isinstance(event, Judged)] == ["no_strangers:NoStrangers"]
    assert chain.ask(Phase.RCPT, make_transaction(recipient="a@example.org")) is UNTOUCHED
    colleague = make_transaction(recipient="everyone@example.org", session=make_session(login="alice"))
    assert chain.ask(Phase.RCPT, colleague) is UNTOUCHED
