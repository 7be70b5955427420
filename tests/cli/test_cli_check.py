"""`relaygw check` finds what would not work or is not safe; in what init writes, only the certificate."""

import datetime
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from operators import message
from verbs import Run, fill, init

from relaygw.cli.certificate import self_signed
from relaygw.cli.checks import ports, relaying
from relaygw.cli.checks.files import secrets
from relaygw.cli.checks.finding import Finding
from relaygw.cli.main import main
from relaygw.config.load import load
from relaygw.testing.ports import free_offset

Check = Callable[[], tuple[int, list[dict[str, str]]]]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("check") / "d"
    return init(folder, "--user", "alice:secret", "--port-offset", str(free_offset()))


@pytest.fixture
def check(run: Run) -> Check:
    """Exit code, and the findings but for the certificate's being self-signed."""

    def findings() -> tuple[int, list[dict[str, str]]]:
        status, document, _ = run("check")
        assert document["ok"] == (status == 0)
        return status, [each for each in document["findings"] if "self-signed" not in each["message"]]

    return findings


def edit(folder: Path, old: str, new: str) -> None:
    text = (folder / "relaygw.toml").read_text()
    assert old in text
    (folder / "relaygw.toml").write_text(text.replace(old, new, 1))


def only(check: Check, status: int) -> dict[str, str]:
    found = check()
    assert found[0] == status, found
    (finding,) = found[1]
    return finding


def test_what_init_writes_is_in_order(check: Check, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check() == (0, [])
    assert main(["--config", str(folder / "relaygw.toml"), "check"]) == 0
    assert capsys.readouterr().out.endswith("relaygw.toml: no errors, 1 warning\n")


def test_an_unusable_configuration_is_2_with_all_problems_as_findings(check: Check, folder: Path) -> None:
    edit(folder, 'state = "state"', 'state = "state"\ncolour = 1\nshape = 2')
    status, found = check()
    assert (status, [each["path"] for each in found]) == (2, ["colour", "shape"])


@pytest.mark.parametrize(
    ("file", "option"),
    [
        ("tls/private_key.pem", "tls.private_key"),
        ("console-token", "control.token_file"),
        ("dkim/example.com.s1.pem", "dkim[1].private_key"),
    ],
)
def test_secrets_that_others_may_read(check: Check, folder: Path, file: str, option: str) -> None:
    (folder / file).chmod(0o640)
    assert check() == (0, [])
    (folder / file).chmod(0o644)
    finding = only(check, 1)
    assert (finding["level"], finding["path"]) == ("error", option)
    assert "mode 0644" in finding["message"]
    assert finding["advice"] == f"chmod 600 {folder / file}"


def test_a_users_file_that_others_may_read_is_found_and_would_not_be_used(check: Check, folder: Path) -> None:
    (folder / "users").chmod(0o644)
    status, found = check()
    assert (status, [each["path"] for each in found]) == (1, ["directory.users", ""])
    assert "mode 0600 is wanted" in found[1]["message"]


def test_an_open_state_directory(check: Check, folder: Path) -> None:
    (folder / "state").chmod(0o755)
    assert only(check, 0)["path"] == "state"


def test_a_missing_key_a_wrong_key_and_a_wrong_pair(check: Check, folder: Path) -> None:
    key = folder / "dkim" / "example.com.s1.pem"
    key.write_text("nothing")
    assert {each["path"] for each in check()[1]} == {"", "dkim[1].private_key"}
    key.unlink()
    status, findings, *_ = check()
    assert (status, findings[0]["advice"]) == (1, "make the file, or name another one")
    shutil.copy(folder / "tls" / "private_key.pem", key)  # an EC key signs no mail
    assert "neither an RSA nor an Ed25519 key" in check()[1][0]["message"]


def test_a_certificate_that_does_not_fit_its_key(check: Check, folder: Path) -> None:
    other, _ = self_signed("mail.example.com", datetime.datetime.now(datetime.UTC))
    (folder / "tls" / "certificate.pem").write_bytes(other)
    assert "is not the key of the first certificate" in only(check, 1)["message"]


@pytest.mark.parametrize(
    ("days", "level", "message"),
    [(-826, "error", "it expired on"), (-800, "warning", "it expires on"), (2, "error", "it is not valid before")],
)
def test_the_certificates_time(check: Check, folder: Path, days: int, level: str, message: str) -> None:
    made = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
    pair = self_signed(load(folder / "relaygw.toml").hostname, made)
    for name, data in zip(("certificate", "private_key"), pair, strict=True):
        (folder / "tls" / f"{name}.pem").write_bytes(data)
    finding = only(check, 1 if level == "error" else 0)
    assert (finding["level"], finding["path"]) == (level, "tls.certificate")
    assert message in finding["message"]


def test_a_certificate_for_another_name(check: Check, folder: Path) -> None:
    hostname = load(folder / "relaygw.toml").hostname
    edit(folder, f'hostname = "{hostname}"', 'hostname = "other.example"')
    assert "not for our hostname other.example" in only(check, 0)["message"]


@pytest.mark.parametrize(
    ("network", "level"),
    [
        ("0.0.0.0/0", "error"), ("::/0", "error"), ("128.0.0.0/7", "error"), ("2000::/15", "error"),
        ("8.0.0.0/8", "warning"), ("8.8.0.0/15", "warning"), ("2001:4800::/31", "warning"),
        ("8.8.0.0/16", ""), ("2a00:1450::/32", ""), ("10.0.0.0/8", ""), ("fd00::/8", "error"), ("fd00::/16", ""),
    ],
)  # fmt: skip
def test_networks_that_are_too_wide(folder: Path, network: str, level: str) -> None:
    edit(folder, "trusted_networks = []", f'trusted_networks = ["{network}"]')
    found: list[Finding] = list(relaying.check(load(folder / "relaygw.toml")))
    assert [finding.level.value for finding in found] == ([level] if level else [])
    assert all(finding.path == "trusted_networks[1]" for finding in found)


@pytest.mark.parametrize(
    ("endpoint", "options", "found"),
    [
        ("tcp:2525", 'proxy_from = ["0.0.0.0/0"]', [("listener[1].proxy_from", "error")]),
        ("tcp:2525", 'proxy_from = ["10.0.0.0/8", "192.0.2.7"]', []),
        ("unix:/run/lmtp", "trust_socket = true", [("listener[1].trust_socket", "warning")]),
        ("unix:/run/lmtp:mode=660", "trust_socket = true", []),
        ("unix:/run/lmtp", "trust_socket = false", []),
    ],
)
def test_who_is_believed(folder: Path, endpoint: str, options: str, found: list[tuple[str, str]]) -> None:
    port = load(folder / "relaygw.toml").listeners[0].endpoint
    edit(folder, f'endpoint = "{port}"', f'endpoint = "{endpoint}"\n{options}')
    assert [(each.path, each.level.value) for each in relaying.check(load(folder / "relaygw.toml"))] == found


def test_passwords_and_tokens_in_clear(folder: Path) -> None:
    config = folder / "relaygw.toml"
    port = load(config).listeners[1].endpoint
    edit(folder, f'endpoint = "{port}"', 'endpoint = "tcp:587"\nauth = "always"')
    edit(folder, load(config).control.console, "tcp6:8080")
    assert [(each.path, each.level.value) for each in relaying.check(load(config))] == [
        ("listener[2].auth", "warning"),
        ("control.console", "warning"),
    ]


def test_a_port_that_somebody_else_has(check: Check, folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        edit(folder, load(folder / "relaygw.toml").listeners[0].endpoint, f"tcp:{port}:interface=127.0.0.1")
        finding = only(check, 1)
    assert finding["path"] == "listener[1].endpoint"
    assert f"another program has port {port}" in finding["advice"]


def test_an_address_that_is_not_ours(check: Check, folder: Path) -> None:
    edit(folder, load(folder / "relaygw.toml").listeners[0].endpoint, "tcp:25:interface=192.0.2.77")
    assert "this machine has no address 192.0.2.77" in only(check, 1)["advice"]


@pytest.mark.parametrize(
    ("endpoint", "place"),
    [
        ("tcp:25", ("", 25)),
        ("tcp6:25", ("", 25)),
        ("tcp:port=25:interface=127.0.0.1", ("127.0.0.1", 25)),
        ("tcp6:25:interface=\\:\\:1", ("::1", 25)),
        ("tcp:25:interface=\\:\\:", ("", 25)),
        ("unix:/run/x", None),
        ("systemd:domain=INET:index=0", None),
        ("tcp:smtp", None),
    ],
)
def test_endpoints_are_taken_apart(endpoint: str, place: tuple[str, int] | None) -> None:
    read = ports.read_endpoint(endpoint)
    assert (None if read is None else (read.interface, read.port)) == place


def test_what_a_transport_says_against_its_route(check: Check, folder: Path) -> None:
    edit(folder, 'transport = "mx"', 'transport = "smarthost"\nhots = "x.example"')
    status, found = check()
    assert status == 1
    assert any("unknown parameter 'hots'" in each["message"] for each in found)


def test_nobody_is_postmaster(check: Check, folder: Path) -> None:
    (folder / "users").write_text("")
    status, found = check()
    assert status == 1
    assert [each["level"] for each in found if each["path"] == "postmaster"] == ["error", "warning"]
    edit(folder, 'postmaster = "alice@example.com"', 'postmaster = ""')
    assert [each["level"] for each in check()[1] if each["path"] == "postmaster"] == ["error"]


def test_a_domain_that_nobody_signs_for(check: Check, folder: Path) -> None:
    edit(folder, 'domains = ["example.com"]', 'domains = ["example.com", "example.org"]')
    assert only(check, 0)["message"] == "mail from example.org will not be signed"


def test_a_seal_needs_a_chain_that_is_told(check: Check, folder: Path) -> None:
    edit(folder, 'private_key = "dkim/example.com.s1.pem"', 'private_key = "dkim/example.com.s1.pem"\nseals = true')
    assert check() == (0, [])
    edit(folder, 'use = "arc"', 'use = "arc"\nmode = "shadow"')
    told = only(check, 0)
    assert (told["level"], told["path"]) == ("warning", "dkim[1].seals")


def test_a_spool_that_does_not_open(check: Check, folder: Path) -> None:
    fill(folder, message("0a"))
    assert check() == (0, [])
    (folder / "state" / "spool" / "spool.sqlite").write_bytes(b"this is no database" * 1000)
    assert only(check, 1)["path"] == "spool"


def test_check_writes_nothing(check: Check, folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    check()
    assert sorted(folder.rglob("*")) == before


def test_the_secrets_of_routes_are_known_with_those_of_their_tokens() -> None:
    path = Path(__file__).parents[2] / "etc" / "examples" / "relays-by-sender.toml"
    found = dict(secrets(load(str(path))))
    assert found["route[3].oauth.client_secret_file"] == str(path.parent / "gmail.secret")
    assert found["route[3].oauth.refresh_token_file"] == str(path.parent / "gmail.refresh")
    assert found["route[6].password_file"] == str(path.parent / "provider.password")
