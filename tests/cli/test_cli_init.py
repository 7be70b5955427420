"""`relaygw init` writes a complete directory that loads and checks, tells its DNS records, and never overwrites."""

import json
import os
import ssl
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from relaygw import keys
from relaygw.cli import plan
from relaygw.cli.main import main
from relaygw.cli.workdir import STANDARD_PORTS, quoted
from relaygw.config.load import load
from relaygw.core.session import Role
from relaygw.tables.passwords import verify_password
from relaygw.tables.userfile import read_users


def init(folder: Path, *arguments: str) -> int:
    return main(["init", str(folder), *arguments])


def test_it_writes_what_the_contract_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "new" / "demo"
    done = init(
        folder, "--domain", "Example.COM", "--domain", "example.org", "--hostname", "mx.example.net", "--user",
        "alice:won:der", "--user", "bob:b", "--trust", "10.0.0.0/8", "--trust", "2001:db8::/32", "--json",
    )  # fmt: skip
    assert done == 0
    config = load(folder / "relaygw.toml")
    assert (config.hostname, config.domains) == ("mx.example.net", ("example.com", "example.org"))
    assert list(map(str, config.trusted_networks)) == ["10.0.0.0/8", "2001:db8::/32"]
    assert 'trusted_networks = ["10.0.0.0/8", "2001:db8::/32"]' in (folder / "relaygw.toml").read_text()
    assert config.state == str(folder / "state")
    assert config.postmaster == "alice@example.com"
    assert [(each.name, each.endpoint) for each in config.listeners] == [
        (name, f"tcp:{port + 2000}:interface=127.0.0.1") for name, port in STANDARD_PORTS.items()
    ]
    assert [each.role for each in config.listeners[:3]] == [Role.MX, Role.SUBMISSION, Role.SUBMISSION]
    assert [each.protocol for each in config.listeners[3:]] == ["imap", "imap", "pop3", "pop3"]
    assert [each.tls for each in config.listeners] == [
        "starttls", "starttls", "implicit", "starttls", "implicit", "starttls", "implicit",
    ]  # fmt: skip
    assert config.control.console == "tcp:10080:interface=127.0.0.1"
    assert [(route.name, route.transport) for route in config.routes] == [("local", "maildir"), ("rest", "mx")]
    assert [use.use for use in config.filters] == [
        "rate", "hello", "loop", "size", "spf", "dkim", "arc", "dmarc", "null_sender"
    ]  # fmt: skip
    assert config.directory.users is not None
    users = read_users(config.directory.users)
    assert [user.name for user in users] == ["alice", "bob"]
    assert verify_password(users[0].password, b"won:der")
    document = json.loads(capsys.readouterr().out)
    assert document["next"] == f"twistd -n relaygw --config {folder / 'relaygw.toml'}"
    for key, record in zip(
        config.dkim, [each for each in document["dns"] if "_domainkey" in each["name"]], strict=True
    ):
        assert record["name"] == f"s1._domainkey.{key.domain}"
        assert record["value"] == keys.record(Path(key.private_key).read_bytes())
    assert {"name": "example.com", "type": "MX", "value": "10 mx.example.net."} in document["dns"]


def test_everything_is_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    assert init(folder, "--domain", "example.com", "--user", "a:b") == 0
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.rglob("*"))}
    assert set(modes.values()) == {0o700, 0o600}
    assert all((mode == 0o700) == path.is_dir() for path, mode in modes.items())
    assert "b" not in (folder / "users").read_text().split()


def test_a_person_reads_records_and_the_next_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert init(tmp_path / "demo", "--domain", "example.com", "--user", "a:sesame") == 0
    told = capsys.readouterr().out
    assert 's1._domainkey.example.com. 3600 IN TXT ( "v=DKIM1; k=rsa; p=' in told
    assert 'example.com. 3600 IN TXT ( "v=spf1 ' in told
    assert f"twistd -n relaygw --config {tmp_path / 'demo' / 'relaygw.toml'}" in told
    assert "sesame" not in told


def test_with_a_smart_host_the_rest_goes_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert init(tmp_path / "demo", "--domain", "example.com", "--smarthost", "[2001:db8::1]:587") == 0
    (_, rest) = load(tmp_path / "demo" / "relaygw.toml").routes
    assert (rest.transport, rest.parameters) == ("smarthost", {"host": "2001:db8::1", "port": 587})
    assert "spf1" not in capsys.readouterr().out  # what may send for us is the smart-host's to know


@pytest.mark.parametrize("existing", ["relaygw.toml", "users", "dkim", "state", "console-token", "tls"])
def test_it_never_overwrites(tmp_path: Path, existing: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / existing).write_text("mine")
    assert init(tmp_path, "--domain", "example.com") == 2
    assert f"already has {existing}, and init never overwrites" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [existing]
    assert (tmp_path / existing).read_text() == "mine"


def test_a_place_where_nothing_can_be_written_is_wrong_usage_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init", "", "--domain", "example.com"]) == 2
    assert not list(tmp_path.iterdir()), "an empty name, such as a script's empty variable, is not this directory"
    (tmp_path / "file").write_text("x")
    assert init(tmp_path / "file", "--domain", "example.com") == 2
    assert f"{tmp_path}/file/tls cannot be written: Not a directory" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "x"


def test_other_files_in_the_directory_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "README").write_text("mine")
    assert init(tmp_path, "--domain", "example.com") == 0
    assert (tmp_path / "README").read_text() == "mine"


def test_everything_wrong_with_the_arguments_is_told_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = init(
        tmp_path / "demo", "--domain", "a..b", "--domain", "[192.0.2.1]", "--hostname", "!", "--trust", "10.0.0.1/8",
        "--smarthost", "h:99999", "--user", "x y:sesame", "--user", "ok:", "--port-offset", "57456",
    )  # fmt: skip
    told = capsys.readouterr().err
    assert done == 2
    for fault in (
        '--domain "a..b"',
        "address literal",
        "--hostname",
        '--trust "10.0.0.1/8"',
        "--smarthost",
        "found 57456",
    ):
        assert fault in told
    assert told.count("--user: ") == 2
    assert "sesame" not in told
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize("arguments", [(), ("--domain",), ("--domain", "a.b", "--port-offset", "x"), ("--dom", "a.b")])
def test_wrong_usage_is_2(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert init(tmp_path / "demo", *arguments) == 2


def test_the_same_user_twice_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert init(tmp_path / "demo", "--domain", "a.example", "--user", "a:1", "--user", "A:2") == 2
    assert "a name is given twice" in capsys.readouterr().err


def test_what_was_written_is_taken_back_when_a_later_file_fails(tmp_path: Path) -> None:
    from relaygw.cli.newfiles import write_all

    with pytest.raises(OSError):
        write_all(tmp_path / "a" / "b", {"x": b"1", "c/y": b"2", "x/z": b"x is a file"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("offset", "console"), [(0, "ssl:8080:"), (1, "tcp:8081:interface=127.0.0.1"), (57455, "tcp:65535:")]
)
def test_the_offset_says_where_it_listens(tmp_path: Path, offset: int, console: str) -> None:
    assert init(tmp_path / "demo", "--domain", "example.com", "--port-offset", str(offset)) == 0
    config = load(tmp_path / "demo" / "relaygw.toml")
    assert config.control.console.startswith(console)
    for listener, port in zip(config.listeners, STANDARD_PORTS.values(), strict=True):
        assert listener.endpoint in (
            {f"tcp6:{port}", f"tcp:{port}"} if offset == 0 else {f"tcp:{port + offset}:interface=127.0.0.1"}
        )


def test_the_hostname_is_the_machines_or_made_from_the_domain() -> None:
    name = plan.default_hostname(["example.com"])
    assert name == "mail.example.com" or "." in name


def test_the_certificate_is_good_for_our_names_to_a_strict_client(tmp_path: Path) -> None:
    """OpenSSL itself verifies a handshake in memory, for each name it was made for."""
    assert init(tmp_path / "demo", "--domain", "example.com", "--hostname", "mx.example.com") == 0
    certificate, key = (str(tmp_path / "demo" / "tls" / f"{name}.pem") for name in ("certificate", "private_key"))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    client = ssl.create_default_context(cafile=certificate)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    for name in ("mx.example.com", "localhost", "127.0.0.1", "::1"):
        handshake(server, client, name)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server, client, "other.example.com")


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> None:
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides: list[Any] = [
        client.wrap_bio(back, there, server_hostname=name),
        server.wrap_bio(there, back, server_side=True),
    ]
    for _ in range(4):
        for side in list(sides):
            try:
                side.do_handshake()
                sides.remove(side)
            except ssl.SSLWantReadError:
                pass
    assert not sides


@pytest.mark.parametrize("text", ["plain", 'quo"te', "back\\slash", "new\nline", "\x7f\u2028é"])
def test_quoted_text_is_read_back(text: str) -> None:
    import tomllib

    assert tomllib.loads(f"v = {quoted(text)}")["v"] == text


def test_a_password_that_is_not_given_is_read_from_a_pipe(tmp_path: Path) -> None:
    """As a process: nothing secret on the command line."""
    arguments = ["init", str(tmp_path / "demo"), "--domain", "example.com", "--user", "alice"]
    done = subprocess.run(
        [sys.executable, "-m", "relaygw.cli", *arguments], input="wonderland\n", capture_output=True, text=True,
        env={**os.environ, "PYTHONWARNINGS": "error"}, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    (user,) = read_users(str(tmp_path / "demo" / "users"))
    assert verify_password(user.password, b"wonderland")
