"""`relaygw dkim`: keys come into the book, take over when the DNS shows them or somebody insists, and go again."""

import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
from verbs import Run, init

from relaygw import keybook, keys
from relaygw.cli.main import main
from relaygw.config.load import load
from relaygw.core.dkim_rotation import Ring

DAY = 86400.0


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return init(tmp_path_factory.mktemp("dkim") / "d", "--smarthost", "127.0.0.1:25")


@pytest.fixture
def run(run: Run) -> Run:
    """All of it is about `relaygw dkim`."""
    return partial(run, "dkim")


@pytest.fixture
def published(run: Run, tmp_path: Path) -> Callable[..., str]:
    """`published("s1")`: a zone in which these selectors' records stand, and no other."""

    def write(*selectors: str) -> str:
        records = {each["name"]: {"TXT": [each["value"]]} for each in run("record")[1]}
        wanted = {name: data for name, data in records.items() if name.partition(".")[0] in selectors}
        (tmp_path / "zone.yaml").write_text(json.dumps(wanted))
        return str(tmp_path / "zone.yaml")

    return write


def later(folder: Path, seconds: float) -> None:
    """As if all that the book tells had been so long ago."""

    def age(ring: Ring) -> Ring:
        return tuple(
            attrs.evolve(
                each, since=each.since - seconds, made=each.made - seconds, seen=each.seen and each.seen - seconds
            )
            for each in ring
        )

    keybook.change(keybook.book_path(str(folder / "relaygw.toml")), age)


def stages(run: Run) -> dict[str, tuple[str, bool]]:
    return {each["selector"]: (each["stage"], each["signs"]) for each in run("list")[1]}


def test_a_generated_key_waits_until_the_dns_shows_it(run: Run, folder: Path, published: Callable[..., str]) -> None:
    status, made, told = run("generate", "example.com", "--selector", "ed", "--algorithm", "ed25519")
    assert (status, told) == (0, "")
    assert stages(run) == {"s1": ("signing", True), "ed": ("generated", False)}
    assert [each["value"] for each in run("record")[1]][1:] == [made["record"]["value"]]
    assert [each.selector for each in keybook.in_use(load(folder / "relaygw.toml"))] == ["s1"]
    zone = published("s1", "ed")
    status, answer, _ = run("rotate", "example.com", "--algorithm", "ed25519", "--zone", zone)
    assert (status, answer["done"]) == (0, ["ed: generated -> signing"]), "the first of its kind need not wait"
    assert [each.selector for each in keybook.in_use(load(folder / "relaygw.toml"))] == ["s1", "ed"]


def test_a_rotation_from_beginning_to_end(run: Run, folder: Path, published: Callable[..., str]) -> None:
    days = [time.strftime("r%Y%m%d", time.gmtime())]
    status, answer, told = run("rotate", "example.com", "--zone", published("s1"))
    new = next(each["selector"] for each in answer["keys"] if each["selector"] != "s1")
    days.append(time.strftime("r%Y%m%d", time.gmtime()))
    assert (status, [each["name"] for each in answer["publish"]]) == (0, [f"{new}._domainkey.example.com"])
    assert new in days
    assert "the service is not running" in told
    path = folder / "dkim" / f"example.com.{new}.pem"
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    assert answer["publish"][0]["value"] == keys.record(path.read_bytes())

    status, answer, _ = run("rotate", "example.com", "--zone", published("s1"))
    assert (status, answer["done"]) == (1, []), "nobody has published it, and a second one is not made"
    zone = published("s1", new)
    assert run("rotate", "example.com", "--zone", zone)[1]["done"] == [f"{new}: generated -> published"]
    status, answer, _ = run("rotate", "example.com", "--zone", zone)
    assert (status, answer["done"], stages(run)["s1"]) == (1, [], ("signing", True))
    later(folder, 3600)
    status, answer, _ = run("rotate", "example.com", "--zone", zone)
    assert (status, answer["done"]) == (0, ["s1: signing -> retired", f"{new}: published -> signing"])
    status, answer, _ = run("rotate", "example.com", "--zone", zone)
    assert (status, answer["done"]) == (1, []), "the old record still has to stay"

    later(folder, 7 * DAY)
    status, answer, _ = run("rotate", "example.com", "--zone", zone)
    assert (status, answer["done"]) == (0, ["s1: retired -> revoked"])
    assert answer["publish"] == [{"name": "s1._domainkey.example.com", "type": "TXT", "value": "v=DKIM1; k=rsa; p="}]
    assert run("forget", "example.com", "s1")[0] == 1, "the configuration still names it"
    text = (folder / "relaygw.toml").read_text()
    (folder / "relaygw.toml").write_text(text.partition("\n[[dkim]]")[0])
    status, answer, _ = run("forget", "example.com", "s1")
    assert (status, answer["forgotten"], answer["file_removed"]) == (0, True, True)
    assert not (folder / "dkim" / "example.com.s1.pem").exists()
    assert stages(run) == {new: ("signing", True)}


def test_forgetting_removes_no_file_that_is_not_beside_the_book(run: Run, folder: Path, tmp_path: Path) -> None:
    """The book belongs to the service: root who forgets a key must not remove whatever it names."""
    victim, book = tmp_path / "victim", folder / "dkim" / "keys.json"
    victim.write_text("precious")
    assert run("generate", "example.com", "--selector", "s2")[0] == 0
    assert run("revoke", "example.com", "s2", "--force")[0] == 0
    kept = json.loads(book.read_text())
    for key in kept["keys"]:
        key["private_key"] = str(victim) if key["selector"] == "s2" else key["private_key"]
    book.write_text(json.dumps(kept))
    status, answer, _ = run("forget", "example.com", "s2")
    assert (status, answer["forgotten"], answer["file_removed"]) == (0, True, False)
    assert victim.read_text() == "precious"


def test_force_signs_with_what_the_world_cannot_see_and_says_so(run: Run, published: Callable[..., str]) -> None:
    zone = published("s1")
    status, answer, _ = run("rotate", "example.com", "--selector", "s2", "--force", "--zone", zone)
    assert status == 0
    assert answer["done"][0] == "s1: signing -> retired"
    assert answer["done"][1].endswith("it signs, and the world cannot see it yet")
    (key,) = [each for each in answer["keys"] if each["selector"] == "s2"]
    assert (key["forced"], key["problem"]) == (True, "")
    status, answer, _ = run("check", "--zone", zone)
    assert (status, answer["ok"]) == (1, False)
    assert answer["keys"][1]["problem"] == "mail is signed with it, and its record is not published"
    status, answer, _ = run("rotate", "example.com", "--selector", "s1", "--force", "--zone", zone)
    assert (status, stages(run)) == (0, {"s1": ("signing", True), "s2": ("retired", False)}), "and back again"


def test_a_key_without_a_usable_file_is_not_even_forced(run: Run, folder: Path, published: Callable[..., str]) -> None:
    assert run("generate", "example.com", "--selector", "s2")[0] == 0
    (folder / "dkim" / "example.com.s2.pem").write_text("gone")
    status, answer, _ = run("rotate", "example.com", "--force", "--zone", published("s1", "s2"))
    assert (status, "cannot be used" in answer["error"]) == (1, True)
    assert stages(run)["s1"] == ("signing", True)


def test_revoking_is_refused_while_mail_may_be_under_way(run: Run, published: Callable[..., str]) -> None:
    assert run("revoke", "example.com", "s1", "--force")[0] == 1, "it signs"
    run("rotate", "example.com", "--selector", "s2", "--force", "--zone", published("s1"))
    status, answer, _ = run("revoke", "example.com", "s1")
    assert (status, answer["error"]) == (1, "mail that s1 of example.com signed may still be under way")
    status, answer, _ = run("revoke", "example.com", "s1", "--force")
    assert (status, answer["record"]["value"], answer["stage"]) == (0, "v=DKIM1; k=rsa; p=", "revoked")
    assert run("revoke", "example.com", "nothing")[0] == 1
    assert run("forget", "example.com", "s2")[0] == 1


def test_check_tells_the_dns_as_it_is(run: Run, published: Callable[..., str], tmp_path: Path) -> None:
    status, answer, _ = run("check", "--zone", published("s1"))
    assert (status, answer["ok"], answer["keys"][0]["dns"], answer["keys"][0]["problem"]) == (0, True, "right", "")
    (tmp_path / "none.yaml").write_text("{}")
    status, answer, _ = run("check", "example.com", "--zone", str(tmp_path / "none.yaml"))
    assert (status, answer["keys"][0]["dns"], answer["keys"][0]["found"]) == (1, "missing", [])
    (tmp_path / "fails.yaml").write_text("s1._domainkey.example.com: fails")
    status, answer, _ = run("check", "--zone", str(tmp_path / "fails.yaml"))
    assert (status, answer["keys"][0]["dns"]) == (1, "unknown")
    assert run("check", "other.example")[0] == 1
    assert run("check", "a..b")[0] == 2


def test_an_empty_domain_such_as_a_scripts_empty_variable_means_none(run: Run) -> None:
    assert run("record", "")[0] == run("check", "")[0] == run("rotate", "")[0] == 2


def test_what_cannot_be_rotated(run: Run, folder: Path, published: Callable[..., str]) -> None:
    zone = published("s1")
    assert run("rotate", "other.example", "--zone", zone)[0] == 1
    assert run("rotate", "example.com", "--algorithm", "ed25519", "--zone", zone)[0] == 1
    assert run("generate", "example.com", "--selector", "s3")[0] == 0
    status, _, told = run("generate", "example.com", "--selector", "s3", "--output", str(folder / "x.pem"))
    assert (status, "has a key s3 already" in told, (folder / "x.pem").exists()) == (2, True, False)
    status, _, told = run("generate", "example.com", "--selector", "s1", "--output", str(folder / "x.pem"))
    assert (status, "has a key s1 already" in told, (folder / "x.pem").exists()) == (2, True, False)
    (folder / "dkim" / "keys.json").write_text("no book")
    for verb in (["rotate", "example.com"], ["list"], ["record"], ["check"]):
        status, answer, _ = run(*verb)
        assert (status, "is no book of keys" in answer["error"]) == (1, True)


def test_people_read_the_same(run: Run, folder: Path, published: Callable[..., str], capsys: Any) -> None:
    zone = published("s1")
    capsys.readouterr()
    main(["--config", str(folder / "relaygw.toml"), "dkim", "rotate", "example.com", "--zone", zone])
    text = capsys.readouterr().out
    assert "a new rsa key" in text
    assert "Publish:" in text
    assert "publish its record; it signs when the DNS shows it" in text
    main(["--config", str(folder / "relaygw.toml"), "dkim", "check", "--zone", zone])
    text = capsys.readouterr().out
    assert "ok    s1._domainkey.example.com  signing: its record is right" in text
    main(["--config", str(folder / "relaygw.toml"), "dkim", "list"])
    assert "STAGE" in capsys.readouterr().out


def test_the_check_of_the_configuration_tells_of_keys(run: Run, folder: Path, capsys: Any, tmp_path: Path) -> None:
    run("rotate", "example.com", "--selector", "s2", "--zone", str(tmp_path / "missing.yaml"))
    (tmp_path / "none.yaml").write_text("{}")
    run("rotate", "example.com", "--selector", "s2", "--zone", str(tmp_path / "none.yaml"))
    capsys.readouterr()
    main(["--config", str(folder / "relaygw.toml"), "--json", "check"])
    told = [each["message"] for each in json.loads(capsys.readouterr().out)["findings"] if each["path"] == "dkim"]
    assert told == ["the key s2 of example.com signs nothing: the DNS has not shown its record yet"]
    os.chmod(folder / "dkim" / "example.com.s2.pem", 0o644)
    main(["--config", str(folder / "relaygw.toml"), "--json", "check"])
    paths = [each["path"] for each in json.loads(capsys.readouterr().out)["findings"] if each["level"] == "error"]
    assert "the key s2" in paths


def test_the_successor_of_a_key_that_seals_seals(run: Run, folder: Path, published: Callable[..., str]) -> None:
    config = folder / "relaygw.toml"
    config.write_text(config.read_text().replace("\n[[dkim]]", "\n[[dkim]]\nseals = true"))
    assert [each.seals for each in keybook.in_use(load(config))] == [True]
    assert run("rotate", "example.com", "--selector", "s2", "--force", "--zone", published("s1"))[0] == 0
    assert [(each.selector, each.seals) for each in keybook.in_use(load(config))] == [("s2", True)]


def test_doubtful_signing_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (folder / "relaygw.toml").open("a") as file:
        file.write('\n[[signing]]\nname = "a"\nexpire = "1h"\ndomains = ["author", "other.example"]\n')
    capsys.readouterr()
    main(["--config", str(folder / "relaygw.toml"), "--json", "check"])
    told = {each["path"]: each["message"] for each in json.loads(capsys.readouterr().out)["findings"]}
    assert told["signing[1].domains"] == "other.example has no key"
    assert told["signing[1].expire"] == "mail that waits somewhere for longer will not be verified any more"
