"""What the configuration says of addresses, made real: safe secrets, transports wrapped where something changes,
circles told at start.
"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from least_configuration import LEAST
from twisted.logger import globalLogPublisher

from relaygw.aliases import Aliases, NamedTable
from relaygw.config.load import parse
from relaygw.config.schema import Config, SrsConfig
from relaygw.core.address import Address, parse_address
from relaygw.core.permission import Destination
from relaygw.core.routing import compile_routes
from relaygw.egress.outgoing import OutgoingTransport
from relaygw.gateway.addresses import (
    MIN_SECRET,
    SecretError,
    behind,
    follow_all,
    make_aliases,
    make_outgoing,
    make_srs,
    permission_of,
    rules_of,
    tell_circles,
)
from relaygw.tables.entries import InlineTable
from relaygw.testing.transport import ScriptedTransport

ABOVE = 'relay_domains = ["relayed.test"]\n'
BELOW = """\
[[table]]
name = "people"
use = "inline"
[aliases]
tables = ["people"]
domains = ["virtual.test"]
[srs]
domain = "back.test"
[[rewriter]]
use = "headers"
routes = ["local"]
options = { remove = ["X-A"] }
[[route]]
name = "local"
match = { recipient = ["local"] }
transport = "maildir"
[[route]]
name = "drop"
match = { recipient = ["drop.test"] }
transport = "discard"
[[route]]
name = "world"
transport = "mx"
"""
ENTRIES = {
    "ring": "ring2",
    "ring2": "ring",
    "lost": "nobody",
    "info": "a@far.test",
    "x@far.test": "y@far.test",
    "@virtual.test": "@example.com",
}


def config() -> Config:
    return parse(ABOVE + LEAST + BELOW, "/folder/relaygw.toml")


def made(settings: Config) -> Aliases:
    directory: Any = SimpleNamespace(account=lambda address: None)
    table = InlineTable({"entries": ENTRIES}, SimpleNamespace())  # type: ignore[arg-type]  # it needs nothing of them
    return Aliases(tables=(NamedTable("people", table),), directory=directory, rules=rules_of(settings))


def test_domains_of_aliases_and_returns_are_ours() -> None:
    permission = permission_of(config())
    for domain, expected in (
        ("example.com", Destination.LOCAL),
        ("virtual.test", Destination.LOCAL),
        ("back.test", Destination.LOCAL),
        ("relayed.test", Destination.RELAY),
        ("far.test", Destination.ELSEWHERE),
    ):
        assert permission.destination(Address("x", domain)) is expected


def test_circles_and_dead_ends_are_found_and_circles_are_told() -> None:
    settings = config()
    aliases = made(settings)
    found = {each.key: each for each in follow_all(settings, aliases, 100)}
    assert found["x@far.test"].found is None
    reasons = {key: each.found.reason for key, each in found.items() if each.found is not None}
    assert "leads back to itself" in reasons["ring"]
    assert "do not exist" in reasons["lost"]
    assert reasons["info"] == ""
    assert len(list(follow_all(settings, aliases, 2))) == 2
    told: list[Any] = []
    globalLogPublisher.addObserver(told.append)
    try:
        tell_circles(settings, aliases)
        tell_circles(settings, None)
    finally:
        globalLogPublisher.removeObserver(told.append)
    assert [event["key"] for event in told] == ["ring", "ring2"]


def test_secrets_are_rotated_and_one_is_made_of_the_installations_own(tmp_path: Path) -> None:
    paths = []
    for name in ("new", "old"):
        path = tmp_path / name
        path.write_text(f"  {name} secret of twenty octets\n")
        path.chmod(0o600)
        paths.append(str(path))
    both = make_srs(SrsConfig(domain="back.test", secret_files=tuple(paths)), lambda: b"")
    assert both is not None
    assert both.secrets == (b"new secret of twenty octets", b"old secret of twenty octets")
    own = make_srs(SrsConfig(domain="back.test"), lambda: b"the installation's")
    assert own is not None
    assert own.secrets != make_srs(SrsConfig(domain="back.test"), lambda: b"another's").secrets  # type: ignore[union-attr]
    assert b"installation" not in own.secrets[0]
    assert make_srs(SrsConfig(), lambda: b"") is None
    sender = parse_address("a@far.test")
    assert isinstance(own.forward(sender, 0.0), Address)


@pytest.mark.parametrize(
    ("text", "mode", "wrong"),
    [
        ("x" * MIN_SECRET, 0o600, ""),
        ("x" * (MIN_SECRET - 1), 0o600, "at least 16 octets"),
        ("x" * 40, 0o640, ""),
        ("x" * 40, 0o604, "others can read it"),
        ("x" * 40, 0o620, "others can read it"),
        (None, 0o600, "No such file"),
    ],
)
def test_a_secret_that_is_none_is_refused(tmp_path: Path, text: str | None, mode: int, wrong: str) -> None:
    path = tmp_path / "secret"
    if text is not None:
        path.write_text(text)
        path.chmod(mode)
    given = SrsConfig(domain="back.test", secret_files=(str(path),))
    if not wrong:
        assert make_srs(given, lambda: b"") is not None
        return
    with pytest.raises(SecretError, match=wrong) as caught:
        make_srs(given, lambda: b"")
    assert "xxx" not in str(caught.value)


def test_transports_are_wrapped_where_something_changes_and_nowhere_else() -> None:
    settings = config()
    routing = compile_routes(settings.routes, settings.local_domains, settings.relay_domains)
    transports: Any = {name: ScriptedTransport() for name in ("maildir", "discard", "mx", "smarthost")}
    assert behind(None, routing, transports, lambda _: None) is transports
    (use,) = settings.rewriters
    services: Any = SimpleNamespace(
        tables={"people": None}, directory=None, reactor=SimpleNamespace(seconds=lambda: 0.0)
    )
    aliases = make_aliases(settings, services, lambda: b"secret")
    outgoing = make_outgoing(settings, [(use, SimpleNamespace())], aliases)  # type: ignore[list-item]
    wrapped = {
        name for name, each in behind(outgoing, routing, transports, lambda _: None).items()
        if isinstance(each, OutgoingTransport)
    }  # fmt: skip
    assert wrapped == {"maildir", "mx", "smarthost"}  # for its rewriter, and for SRS
    without = make_outgoing(settings, [(use, SimpleNamespace())], None)  # type: ignore[list-item]
    wrapped = {
        name for name, each in behind(without, routing, transports, lambda _: None).items()
        if isinstance(each, OutgoingTransport)
    }  # fmt: skip
    assert wrapped == {"maildir"}
    assert make_outgoing(settings, [], None) is None
