"""`relaygw check` on certificates by chain and name, on client certificates, and on users without SCRAM keys."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from certificates import Issued, issue
from verbs import Run, init

from relaygw.tables.userfile import add_user
from relaygw.testing.ports import free_offset

HOST = "mail.example.com"
Check = Callable[[], list[tuple[str, str, str]]]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logins") / "d"
    return init(folder, "--hostname", HOST, "--user", "alice:x", "--port-offset", str(free_offset()))


@pytest.fixture
def check(run: Run) -> Check:
    def findings() -> list[tuple[str, str, str]]:
        return [(each["level"], each["path"], each["message"]) for each in run("check")[1]["findings"]]

    return findings


def install(folder: Path, leaf: Issued, *chain: Issued) -> None:
    pair = leaf.write(folder / "tls", "certificate", *chain)
    shutil.move(pair.private_key, folder / "tls" / "private_key.pem")


def append(folder: Path, text: str) -> None:
    with (folder / "relaygw.toml").open("a") as file:
        file.write(text)


ROOT = issue("Root", authority=True)
BETWEEN = issue("Between", issuer=ROOT, authority=True)
EXPIRED = issue("Between", issuer=ROOT, authority=True, days=-1)


def test_a_chain_up_to_its_root_is_complete(check: Check, folder: Path) -> None:
    install(folder, issue(HOST, HOST, issuer=BETWEEN), BETWEEN, ROOT)
    assert check() == []


@pytest.mark.parametrize(
    ("leaf", "chain", "level", "message"),
    [
        (issue(HOST, HOST, issuer=BETWEEN), (), "warning", "the chain is incomplete: it ends before CN=Between"),
        (issue(HOST, HOST, issuer=BETWEEN), (BETWEEN,), "warning", "the chain is incomplete: it ends before CN=Root"),
        (issue(HOST, HOST, issuer=BETWEEN), (ROOT, BETWEEN), "error", "CN=Root did not certify CN=mail.example.com"),
        (issue(HOST, HOST, issuer=EXPIRED), (EXPIRED, ROOT), "error", "the certificate above it, CN=Between, expired"),
        (issue(HOST, HOST, issuer=ROOT, days=20), (ROOT,), "warning", "it expires on"),
        (issue(HOST, issuer=ROOT), (ROOT,), "warning", "it is for nothing, and not for our hostname"),
    ],
)
def test_chains_that_clients_will_not_take(
    check: Check, folder: Path, leaf: Issued, chain: tuple[Issued, ...], level: str, message: str
) -> None:
    install(folder, leaf, *chain)
    ((found, path, said),) = check()
    assert (found, path) == (level, "tls.certificate")
    assert said.startswith(message)


def test_each_further_certificate_is_looked_at(check: Check, folder: Path) -> None:
    install(folder, issue(HOST, HOST, issuer=ROOT), ROOT)
    for name, leaf in (("one", issue("one", issuer=ROOT)), ("two", issue("two", "two.test", issuer=ROOT, days=3))):
        leaf.write(folder / "tls", name, ROOT)
        append(folder, f'[[tls.certificates]]\ncertificate = "tls/{name}.pem"\nprivate_key = "tls/{name}.key"\n')
    (folder / "tls" / "two.key").chmod(0o644)
    found = check()
    assert [(level, path) for level, path, _ in found] == [
        ("error", "tls.certificates[2].private_key"),
        ("warning", "tls.certificates[1].certificate"),
        ("warning", "tls.certificates[2].certificate"),
    ]
    assert "no name that a client could ask for" in found[1][2]


def test_a_further_key_that_does_not_fit(check: Check, folder: Path) -> None:
    install(folder, issue(HOST, HOST, issuer=ROOT), ROOT)
    for name in ("one", "two"):
        issue(name, f"{name}.test", issuer=ROOT).write(folder / "tls", name, ROOT)
    append(folder, '[[tls.certificates]]\ncertificate = "tls/one.pem"\nprivate_key = "tls/two.key"\n')
    ((level, _, message),) = check()
    assert level == "error"
    assert "is not the key of the first certificate" in message


def test_users_whose_passwords_are_older_than_scram(check: Check, folder: Path) -> None:
    install(folder, issue(HOST, HOST, issuer=ROOT), ROOT)
    add_user(str(folder / "users"), "bob", "second")
    assert check() == []
    lines = (folder / "users").read_text().splitlines()
    (folder / "users").write_text("\n".join(line.partition(" SCRAM")[0] for line in lines[:2]) + "\n" + lines[2] + "\n")
    ((level, path, message),) = check()
    assert (level, path) == ("warning", "directory.users")
    assert "1 users have no keys for it (alice)" in message


def test_client_certificates_that_nobody_asks_for_and_bans_that_are_off(check: Check, folder: Path) -> None:
    install(folder, issue(HOST, HOST, issuer=ROOT), ROOT)
    append(
        folder, f'[bans]\nenabled = false\n[[directory.certificates]]\nlogin = "alice"\nfingerprint = "{"ab" * 32}"\n'
    )
    assert [path for _, path, _ in check()] == ["directory.certificates", "bans.enabled"]
