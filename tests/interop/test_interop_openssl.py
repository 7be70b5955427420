"""The matrix of TLS as openssl's own client sees it: versions, ciphers, every protocol, STARTTLS and from the start."""

import subprocess
from collections.abc import Callable, Iterator

import pytest

from relaygw.testing.gateway import Gateway

pytestmark = pytest.mark.interop
PORTS = {
    "smtp": (25, "smtp"),
    "submission": (587, "smtp"),
    "submissions": (465, ""),
    "imap": (143, "imap"),
    "imaps": (993, ""),
    "pop3": (110, "pop3"),
    "pop3s": (995, ""),
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("openssl") / "demo"
    with Gateway.make(folder, domains=["example.test"], users=["alice:secret"]) as running:
        yield running


@pytest.fixture
def handshake(gateway: Gateway, peer: Callable[[str], str]) -> Callable[..., str]:
    """What `openssl s_client` prints of a handshake at a listener; its own limits are lowered so that ours decide."""

    def run(listener: str, *options: str) -> str:
        standard, starttls = PORTS[listener]
        command = [peer("openssl"), "s_client", "-connect", f"127.0.0.1:{gateway.port(standard)}", *options]
        command += ["-starttls", starttls] if starttls else []
        done = subprocess.run(command, input="", capture_output=True, text=True, timeout=300)
        return done.stdout + done.stderr

    return run


def agreed(output: str) -> str:
    """The version of a handshake that succeeded, "" for one that did not."""
    found = [line.split(",")[1].strip() for line in output.splitlines() if line.startswith("New, ")]
    assert found, output
    return "" if found[0] == "(NONE)" else found[0]


@pytest.mark.parametrize("listener", PORTS)
@pytest.mark.parametrize(("option", "version"), [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")])
def test_modern_versions_are_spoken(handshake: Callable[..., str], listener: str, option: str, version: str) -> None:
    output = handshake(listener, option)
    assert agreed(output) == version


@pytest.mark.parametrize("listener", PORTS)
@pytest.mark.parametrize("option", ["-tls1", "-tls1_1"])
def test_broken_versions_are_not(handshake: Callable[..., str], listener: str, option: str) -> None:
    output = handshake(listener, option, "-cipher", "ALL:@SECLEVEL=0")
    assert agreed(output) == ""


@pytest.mark.parametrize(
    "ciphers", ["aNULL:@SECLEVEL=0", "eNULL:@SECLEVEL=0", "kRSA:@SECLEVEL=0", "CAMELLIA:@SECLEVEL=0"]
)
def test_weak_ciphers_find_no_partner(handshake: Callable[..., str], ciphers: str) -> None:
    """No anonymity, no encryption without secrecy, nothing whose past can be read with the key (RFC 9325 4.1)."""
    for listener in ("smtp", "submissions"):
        assert agreed(handshake(listener, "-tls1_2", "-cipher", ciphers)) == ""


def test_compression_and_renegotiation_are_off(handshake: Callable[..., str]) -> None:
    output = handshake("submissions", "-tls1_2")
    assert "Compression: NONE" in output
    assert "Secure Renegotiation IS supported" in output  # the indication of RFC 5746; renegotiating itself is refused
