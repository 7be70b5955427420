"""A configuration that reads well: what follows from what, paths, and everything a value can be."""

import ipaddress
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaygw.config.kinds import domain, domain_or_below, duration, label, nameserver, network, plugin, size
from relaygw.config.lines import locate
from relaygw.config.load import ConfigError, parse
from relaygw.core.session import Role

HEAD = """\
hostname = "Mail.Example.COM"
state = "state"
[[listener]]
name = "mx"
endpoint = "tcp:25"
tls = "none"
[[route]]
transport = "discard"
"""


def test_what_is_not_given_is_filled_in_and_paths_start_at_the_file() -> None:
    config = parse(HEAD + '[[filter]]\nuse = "spf"\n', "/etc/relaygw/relaygw.toml")
    assert config.hostname == "mail.example.com"
    assert config.path == "/etc/relaygw/relaygw.toml"
    assert config.state == "/etc/relaygw/state"
    assert config.spool.path == "/etc/relaygw/state/spool"
    assert config.mailbox.path == "/etc/relaygw/state/mail"
    assert config.control.socket == "/etc/relaygw/state/control.sock"
    assert config.journal.file == "/etc/relaygw/state/journal.jsonl"
    assert config.postmaster == "postmaster@mail.example.com"
    assert config.filters[0].name == "spf"
    assert config.listeners[0].auth == "never"


def test_logins_are_offered_under_tls_but_on_an_mx() -> None:
    listener = '[[listener]]\nname = "{0}"\nendpoint = "tcp:{1}"\n{2}\ntls = "none"\n'
    text = HEAD + listener.format("in", 587, 'role = "submission"')
    text += listener.format("out", 588, 'role = "submission"\nauth = "always"')
    config = parse(text + '[directory]\nusers = "users"\n', "/c.toml")
    assert [(each.name, each.role, each.auth) for each in config.listeners] == [
        ("mx", Role.MX, "never"),
        ("in", Role.SUBMISSION, "tls"),
        ("out", Role.SUBMISSION, "always"),
    ]


@pytest.mark.parametrize(("given", "meant"), [("-", "-"), ("", ""), ("log/j", "/c/state/log/j"), ("/var/j", "/var/j")])
def test_the_journal_file_is_below_the_state_directory(given: str, meant: str) -> None:
    assert parse(f'{HEAD}[journal]\nfile = "{given}"\n', "/c/r.toml").journal.file == meant


def test_what_is_not_the_routes_own_is_a_parameter_of_its_transport() -> None:
    text = HEAD.replace('"discard"', '"smarthost"\nhost = "h.example"\nports = [1, [2]]\nmatch = {}')
    (route,) = parse(text, "/c.toml").routes
    assert route.parameters == {"host": "h.example", "ports": (1, (2,))}
    assert route.name == ""


def test_values_of_every_kind() -> None:
    networks = 'trusted_networks = ["192.0.2.0/24", "2001:db8::1"]'
    relay = 'relay_domains = [".Example.org", "bücher.example"]'
    text = f"{networks}\n{relay}\n{HEAD}"
    text += '[queue]\nretry = ["90s", "1h30m", 5, 0.5]\n[limits]\nmessage_size = "10M"\n[spool]\ninline_limit = 0\n'
    config = parse(text, "/c.toml")
    assert config.trusted_networks == (ipaddress.ip_network("192.0.2.0/24"), ipaddress.ip_network("2001:db8::1/128"))
    assert config.relay_domains == (".example.org", "xn--bcher-kva.example")
    assert config.queue.retry == (90.0, 5400.0, 5.0, 0.5)
    assert config.limits.message_size == 10 * 1024 * 1024
    assert config.spool.inline_limit == 0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("5m", 300),
        ("4h", 14400),
        ("5d", 432000),
        ("1d12h", 129600),
        (7, 7),
        (0.25, 0.25),
        ("3650d", 315360000),
    ],
)
def test_durations(text: object, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "5", "5 m", "m5", "-5m", "1w", "3651d", True, None, [], float("inf"), float("nan"), -1]
)
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError):
        duration(text)


@pytest.mark.parametrize(
    ("text", "octets"), [("256K", 262144), ("50M", 52428800), ("1G", 2**30), ("7", 7), (0, 0), ("2 MiB", 2**21)]
)
def test_sizes(text: object, octets: int) -> None:
    assert size(text) == octets


@pytest.mark.parametrize("text", ["", "K", "-1K", "1T", "1.5M", -1, 1.5, True, None])
def test_what_is_no_size(text: object) -> None:
    with pytest.raises(ValueError):
        size(text)


ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers()), st.builds(dict)
)


@pytest.mark.parametrize("parse_kind", [domain, domain_or_below, duration, label, nameserver, network, plugin, size])
@given(value=ANYTHING)
def test_a_kind_answers_a_value_or_value_error(parse_kind: Any, value: object) -> None:
    try:
        parse_kind(value)
    except ValueError:
        return


@given(value=ANYTHING)
def test_kinds_of_the_schema_refuse_what_they_cannot_read(value: object) -> None:
    """Through the schema itself: a value, or a Problem; nothing else escapes."""
    from relaygw.config.schema import Config
    from relaygw.config.structure import Reader, hints

    complaints: list[object] = []
    reader = Reader("/", lambda *fault: complaints.append(fault))
    for name, hint in hints(Config).items():
        before = len(complaints)
        read = reader.read(hint, value, (name,))
        assert read is not None or len(complaints) > before


TOML_TEXT = st.text(st.sampled_from(list("ab=[]{}\"'#.\n \\,1")), max_size=60)


@given(text=TOML_TEXT)
def test_any_text_is_a_config_or_a_config_error(text: str) -> None:
    with pytest.raises(ConfigError):
        parse(text, "/c.toml")
    assert locate(text)[()] == 1


def test_lines_are_found_past_strings_and_lists_over_several_lines() -> None:
    text = (
        'a = [\n  "]", # [x]\n  "k = 1",\n]\nb = """\n[[no]]\nc = 1\n"""\n'
        "[[t]]\nd = 1\n[t.u]\ne = '''x\n'''\n[[t]]\n\"d\" = \"# [\"\nf = 1\n"
    )
    assert locate(text) == {
        (): 1, ("a",): 1, ("b",): 5, ("t", 0): 9, ("t", 0, "d"): 10, ("t", 0, "u"): 11, ("t", 0, "u", "e"): 12,
        ("t", 1): 14, ("t", 1, "d"): 15, ("t", 1, "f"): 16,
    }  # fmt: skip


def test_a_relative_path_on_the_command_line_still_gives_absolute_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from relaygw.config.load import load

    (tmp_path / "c.toml").write_text(HEAD)
    monkeypatch.chdir(tmp_path)
    assert load("c.toml").state == os.path.join(os.path.realpath(tmp_path), "state")
