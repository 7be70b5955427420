"""`relaygw dns check` on a working directory as `init` writes it: against zone files and a real name server."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from verbs import Run, init

from relaygw.cli.direct import run_now
from relaygw.cli.dns import ask
from relaygw.cli.main import main
from relaygw.cli.records import zone_line
from relaygw.core.dns_check import Site
from relaygw.core.question import Exchange
from relaygw.core.sts import Mode, StsPolicy
from relaygw.dns import FixedResolver
from relaygw.testing.name_servers import resolve_by, root, serve

CHECKS = {"address", "ptr", "mx", "spf", "dkim", "dmarc", "mta-sts", "tlsrpt", "tlsa"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dns") / "d"
    return init(folder, "--domain", "example.net", "--hostname", "mail.example.com")


@pytest.fixture
def run(run: Run) -> Run:
    """All of it is about `relaygw dns check`."""
    return partial(run, "dns", "check")


@pytest.fixture
def empty(tmp_path: Path) -> str:
    (tmp_path / "empty.yaml").write_text("{}")
    return str(tmp_path / "empty.yaml")


def published(run: Run, empty: str) -> str:
    """Everything the check wants in an empty DNS, as zone file lines, and what only the operator can know."""
    _, document, _ = run("--zone", empty, "--ip", "192.0.2.1")
    notes = [record for finding in document["findings"] for record in finding["publish"]]
    lines = [*map(zone_line, document["records"]), *(zone_line(each) for each in notes if each["type"] == "TLSA")]
    hosts = [f"mta-sts.{domain}. 3600 IN A 127.0.0.1" for domain in ("example.com", "example.net")]
    return "".join(f"{line}\n" for line in dict.fromkeys([*lines, *hosts]))


def test_a_new_domain_is_told_everything_there_is_to_publish(run: Run, empty: str) -> None:
    status, document, _ = run("--zone", empty)
    assert (status, document["ok"], document["hostname"]) == (1, False, "mail.example.com")
    assert document["domains"] == ["example.com", "example.net"]
    for domain in document["domains"]:
        found = {finding["check"]: finding for finding in document["findings"] if finding["about"] == domain}
        assert set(found) == CHECKS - {"address", "ptr"}
        assert found["mx"]["publish"] == [{"name": domain, "type": "MX", "value": "10 mail.example.com."}]
        assert found["dkim"]["publish"][0]["name"] == f"s1._domainkey.{domain}"
        assert found["tlsa"]["expected"].startswith("3 1 1 ")
    assert {record["type"] for record in document["records"]} == {"MX", "TXT"}
    asked = {(each["name"], each["type"]): each["status"] for each in document["questions"]}
    assert asked["example.com", "MX"] == "no name"


def test_the_records_of_dkim_are_those_of_the_verb_dkim(run: Run, folder: Path, empty: str, capsys: Any) -> None:
    _, document, _ = run("--zone", empty)
    main(["--config", str(folder / "relaygw.toml"), "--json", "dkim", "record"])
    records = json.loads(capsys.readouterr().out)
    assert [record["name"].partition(".")[2] for record in records] == [
        "_domainkey.example.com",
        "_domainkey.example.net",
    ]
    assert all(record in document["records"] for record in records)


def test_nothing_is_wrong_once_it_is_published(run: Run, empty: str, tmp_path: Path) -> None:
    (tmp_path / "zone").write_text(published(run, empty))
    status, document, _ = run("--zone", str(tmp_path / "zone"))
    assert (status, document["ok"], document["records"]) == (0, True, [])
    assert {finding["level"] for finding in document["findings"]} == {"ok", "note"}
    assert {finding["check"] for finding in document["findings"]} == CHECKS


def test_one_domain_is_checked_alone_and_a_strange_one_with_a_word(run: Run, empty: str) -> None:
    _, document, told = run("Example.NET.", "--zone", empty)
    assert (document["domains"], told) == (["example.net"], "")
    status, document, told = run("other.example", "--zone", empty)
    assert (status, document["domains"]) == (1, ["other.example"])
    assert "other.example is no domain of the configuration" in told
    assert {finding["level"] for finding in document["findings"] if finding["check"] == "dkim"} == {"warning"}


def test_people_read_what_is_wrong_and_what_to_publish(
    folder: Path, empty: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--config", str(folder / "relaygw.toml"), "dns", "check", "example.com", "--zone", empty]) == 1
    told = capsys.readouterr().out
    assert "\nexample.com\n  error   mx       the domain does not exist in the DNS\n" in told
    assert "\nexample.com. 3600 IN MX 10 mail.example.com.\n" in told
    assert "\nOnly where DNSSEC signs the zone:\n\n_25._tcp.mail.example.com. 3600 IN TLSA 3 1 1 " in told
    wait = "\nOnly once a web server gives out the policies that are told above:\n\n_mta-sts.example.com. 3600 IN TXT ("
    assert wait in told
    assert told.count("_mta-sts.example.com. 3600") == 1
    assert told.endswith("\n5 errors, 3 warnings\n")
    assert max(map(len, told.split("\nPublish")[0].splitlines())) < 260


def test_a_record_that_several_domains_want_is_printed_once(
    folder: Path, empty: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--config", str(folder / "relaygw.toml"), "dns", "check", "--zone", empty])
    assert capsys.readouterr().out.count(" IN TLSA ") == 1


def test_an_address_with_a_zone_is_the_address(run: Run, empty: str) -> None:
    status, document, _ = run("--zone", empty, "--ip", "fe80::1%eth0")
    assert (status, document["records"][0]["value"]) == (1, "fe80::1")


def test_a_mapped_address_is_an_ipv4_address(run: Run, empty: str) -> None:
    _, document, _ = run("--zone", empty, "--ip", "::ffff:192.0.2.1")
    assert {"name": "mail.example.com", "type": "A", "value": "192.0.2.1"} in document["records"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--zone", "/nonexistent"],
        ["--ip", "nowhere"],
        ["--ip", ""],
        [""],
        ["a..b"],
        ["[192.0.2.1]"],
        ["--zone", __file__],
    ],
)
def test_wrong_usage_is_2(run: Run, arguments: list[str]) -> None:
    assert run(*arguments)[0] == 2


def test_a_key_that_cannot_be_read_is_an_error_of_its_own(
    folder: Path, empty: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (folder / "relaygw.toml").read_text()
    for name in ("tls", "users", "console-token", "dkim"):
        os.symlink(folder / name, tmp_path / name)
    (tmp_path / "key.pem").write_text("no key")
    (tmp_path / "relaygw.toml").write_text(text.replace("dkim/example.net.s1.pem", "key.pem"))
    assert main(["--config", str(tmp_path / "relaygw.toml"), "--json", "dns", "check", "--zone", empty]) == 1
    first, *others = json.loads(capsys.readouterr().out)["findings"]
    assert (first["level"], first["check"], first["about"]) == ("error", "dkim", "example.net")
    assert "not a private key" in first["message"]
    assert ("dkim", "example.net") not in {(each["check"], each["about"]) for each in others}, (
        "it is not said that there is no key"
    )


@pytest.fixture(params=["nsd", "unbound"])
def name_server(
    request: pytest.FixtureRequest, run: Run, empty: str, tmp_path: Path, peer: Callable[[str], str]
) -> Iterator[str]:
    """An authoritative server, or a resolver in front of it."""
    with serve(tmp_path, peer("nsd"), root(published(run, empty))) as address:
        if request.param == "nsd":
            yield address
            return
        with resolve_by(tmp_path, peer("unbound"), address) as resolver:
            yield resolver


@pytest.mark.interop
def test_a_real_name_server_is_asked_for_everything_at_once(folder: Path, name_server: str, tmp_path: Path) -> None:
    for name in ("tls", "users", "console-token", "dkim"):
        os.symlink(folder / name, tmp_path / name)
    text = (folder / "relaygw.toml").read_text()
    (tmp_path / "relaygw.toml").write_text(f'{text}\n[dns]\nnameservers = ["{name_server}"]\ntimeout = 2\n')
    command = [
        sys.executable,
        "-m",
        "relaygw.cli",
        "--config",
        str(tmp_path / "relaygw.toml"),
        "--json",
        "dns",
        "check",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    document = json.loads(done.stdout)
    assert (done.returncode, done.stderr, document["records"]) == (1, "", [])
    # All is well but for the policies: no web server serves any here.
    errors = [finding for finding in document["findings"] if finding["level"] not in ("ok", "note")]
    assert [(each["about"], each["type"]) for each in errors] == [("example.com", "HTTPS"), ("example.net", "HTTPS")]
    assert all(each["message"].startswith("the policy cannot be had: ") for each in errors)
    asked = [(each["name"], each["type"]) for each in document["questions"]]
    assert ("example.com", "MX") in asked
    assert all(each["milliseconds"] >= 0 for each in document["questions"])


ANNOUNCED = FixedResolver(
    {
        "example.com": {"MX": [Exchange(10, "mail.example.com")]},
        "mail.example.com": {"A": ["192.0.2.1"]},
        "_mta-sts.example.com": {"TXT": [b"v=STSv1; id=1"]},
        "mta-sts.example.com": {"A": ["192.0.2.80"]},
        "_mta-sts.example.net": {"TXT": [b"v=STSv1; id=1"]},  # and no host for it
    }
)


def test_the_policies_that_are_announced_are_fetched_and_compared() -> None:
    fetched: list[str] = []

    async def fetch(domain: str) -> StsPolicy | str:
        fetched.append(domain)
        return StsPolicy(mode=Mode.ENFORCE, mx=("other.example.com",), max_age=604_800)

    site = Site(hostname="mail.example.com", now=0.0)
    findings = run_now(ask(ANNOUNCED, site, ("example.com", "example.net", "example.org"), fetch))
    assert fetched == ["example.com"]
    assert [(each.level.value, each.found[2]) for each in findings if each.type == "HTTPS"] == [
        ("error", "mx: other.example.com"),
        ("warning", "mx: other.example.com"),
    ]
    assert not [each for each in run_now(ask(ANNOUNCED, site, ("example.com",), None)) if each.type == "HTTPS"]
