"""etc/relaygw.toml names every option with its default and a sentence, and no other; the examples load."""

import re
import tomllib
import typing
from pathlib import Path
from typing import Any

import attrs
import pytest

from relaygw.config.load import PLURALS, load
from relaygw.config.schema import Config
from relaygw.config.structure import Reader, hints

ETC = Path(__file__).parents[2] / "etc"
SAMPLE = ETC / "relaygw.toml"
OPTION = re.compile(r"(#?)([a-z_0-9]+) = (.*)")
HEADER = re.compile(r"\[+([a-z_.]+)\]+")

# Options whose value in the sample is an example: they have no default, or one that follows from others.
EXAMPLES = {
    "hostname", "state", "listener.name", "listener.endpoint", "filter.use", "filter.name", "route.name",
    "route.transport", "dkim.domain", "dkim.selector", "dkim.private_key", "tls.certificate", "tls.private_key",
    "tls_policy.policy", "tls.certificates.certificate", "tls.certificates.private_key", "directory.certificates.login",
    "directory.certificates.fingerprint", "quota.name", "rewriter.use", "rewriter.name", "rewriter.listeners",
    "rewriter.options", "table.name", "table.options", "shaping.name", "reply.code", "reply.text", "retry.name",
    "hold.name", "hold.match.sender", "signing.name",
}  # fmt: skip


def in_schema(cls: type = Config, prefix: str = "") -> dict[str, Any]:
    """Every option by its path in the file, with its field."""
    found: dict[str, Any] = {}
    for field in attrs.fields(cls):
        hint = hints(cls)[field.name]
        inner = typing.get_args(hint)[0] if typing.get_origin(hint) is tuple else hint
        name = prefix + PLURALS.get(field.name, field.name) if not prefix else prefix + field.name
        if attrs.has(inner):
            found |= in_schema(inner, f"{name}.")
        else:
            found[name] = field
    for own in ("path", "route.parameters"):
        found.pop(own, None)
    return found


def in_sample() -> dict[str, tuple[bool, str, str]]:
    """Every option in the sample: whether it is commented out, its value, and the line before it."""
    found: dict[str, tuple[bool, str, str]] = {}
    prefix, before = "", ""
    for line in SAMPLE.read_text().splitlines():
        if header := HEADER.fullmatch(line):
            prefix = f"{header[1]}."
            assert before.startswith("# "), f"{line} has no sentence"
        elif option := OPTION.fullmatch(line):
            assert prefix + option[2] not in found, f"{prefix}{option[2]} stands twice"
            found[prefix + option[2]] = (option[1] == "#", option[3], before)
        before = line
    return found


def test_the_sample_names_every_option_and_no_other() -> None:
    assert in_sample().keys() == in_schema().keys()


@pytest.mark.parametrize("name", sorted(in_sample()))
def test_it_has_one_sentence(name: str) -> None:
    _, _, sentence = in_sample()[name]
    assert sentence.startswith("# "), f"{name} has no sentence"
    assert sentence.endswith("."), f"{name}: {sentence}"


@pytest.mark.parametrize("name", sorted(set(in_sample()) - EXAMPLES))
def test_its_value_is_the_default(name: str) -> None:
    commented, value, _ = in_sample()[name]
    field = in_schema()[name]
    assert commented == (field.default is None), f"{name}: what has no default is commented out, the rest is not"
    if not commented:
        cls_hint = _hint(name)
        read = Reader("/", _refuse).read(cls_hint, tomllib.loads(f"v = {value}")["v"], ("v",))
        default = field.default.factory() if hasattr(field.default, "factory") else field.default
        assert read == default


def _hint(name: str) -> Any:
    cls: Any = Config
    singular = {word: plural for plural, word in PLURALS.items()}
    *tables, last = name.split(".")
    for depth, part in enumerate(tables):
        hint = hints(cls)[singular.get(part, part) if depth == 0 else part]
        cls = typing.get_args(hint)[0] if typing.get_origin(hint) is tuple else hint
    return hints(cls)[last]


def _refuse(*fault: object) -> None:
    raise AssertionError(fault)


def test_the_sample_loads_as_it_is_and_with_everything_in_it(tmp_path: Path) -> None:
    assert load(SAMPLE).hostname == "mail.example.com"
    everything = re.sub(r"^#(?=[a-z_]+ = )", "", SAMPLE.read_text(), flags=re.MULTILINE)
    (tmp_path / "all.toml").write_text(everything)
    config = load(tmp_path / "all.toml")
    assert config.dns.zone == str(tmp_path / "rehearsal.zone")
    assert config.listeners[0].auth == "tls"


@pytest.mark.parametrize("path", sorted((ETC / "examples").glob("*.toml")), ids=lambda path: path.stem)
def test_the_examples_load(path: Path) -> None:
    config = load(path)
    assert config.routes
    assert path.read_text().startswith("# ")


def test_the_unit_reads_like_one_and_is_hardened() -> None:
    options = dict(
        line.split("=", 1)
        for line in (ETC / "relaygw.service").read_text().splitlines()
        if re.match(r"[A-Z]\w+=", line)
    )
    assert options["ExecStart"].endswith("relaygw --config /etc/relaygw/relaygw.toml")
    assert options["ExecStartPre"].startswith("-")
    assert options["CapabilityBoundingSet"] == "CAP_NET_BIND_SERVICE"
    assert options["ProtectSystem"] == "strict"
    assert options["NoNewPrivileges"] == "yes"
