"""The running gateway with greylisting and rates: what a client reads, what outlives a restart."""

import smtplib
from pathlib import Path

from real import eventually, journaled

from relaygw.testing.gateway import Gateway

FILTERS = """
[[filter]]
use = "rate"
name = "strict-rate"
options = { limits = [{ count = 3, of = "errors", within = "1h" }], trusted = true }

[[filter]]
use = "greylist"
options = { delay = "1s", skip_recipients = ["open@example.test"] }
"""
USERS = ["alice:secret one", "open:secret two"]


def talk(gateway: Gateway) -> smtplib.SMTP:
    client = smtplib.SMTP("127.0.0.1", gateway.port(25), "client.example", timeout=60)
    client.ehlo()
    return client


def judged(gateway: Gateway, filter_: str) -> list[str]:
    return [line["reason"] for line in journaled(gateway, "judged") if line["filter"] == filter_]


def attempt(gateway: Gateway) -> tuple[int, bytes]:
    with talk(gateway) as client:
        client.mail("a@client.example")
        return client.rcpt("alice@example.test")


def test_a_stranger_comes_back_after_a_restart_and_then_passes(tmp_path: Path) -> None:
    gateway = Gateway.make(tmp_path / "demo", domains=["example.test"], users=USERS)
    gateway.append(FILTERS)
    with gateway:
        assert attempt(gateway) == (451, b"4.7.1 Greylisted, please try again in 1 second")
        gateway.kill()
        gateway.start()
        eventually(lambda: attempt(gateway)[0] == 250)
        with talk(gateway) as client:
            client.mail("b@client.example")
            assert client.rcpt("open@example.test")[0] == 250
        eventually(lambda: any("came back" in reason for reason in judged(gateway, "greylist")))


def test_a_client_that_harvests_addresses_is_kept_out(tmp_path: Path) -> None:
    gateway = Gateway.make(tmp_path / "demo", domains=["example.test"], users=USERS)
    gateway.append(FILTERS)
    with gateway:
        with talk(gateway) as client:
            client.mail("a@client.example")
            codes = [client.rcpt(f"guess{number}@example.test")[0] for number in range(3)]
            assert codes == [550] * 3
            client.rset()
            assert client.mail("a@client.example")[0] == 421
        refused = smtplib.SMTP(timeout=60)
        code, text = refused.connect("127.0.0.1", gateway.port(25))
        refused.close()
        assert code == 421
        assert text.startswith(b"4.7.1 Too many errors, please try again in ")
        eventually(lambda: len(judged(gateway, "strict-rate")) == 2)
