"""The operators' hands on a real running gateway: removal and return, another next hop, rules, spool, explanations."""

import contextlib
import io
import json
import smtplib
from pathlib import Path
from typing import Any

import pytest
from real import eventually
from recording_hop import RecordingHop

from relaygw.cli.main import main
from relaygw.testing.gateway import Gateway

pytestmark = pytest.mark.interop


def ask(gateway: Gateway, *arguments: str, status: int = 0) -> Any:
    """The command in this process, which takes a tenth of the time of a new one."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        assert main(["--config", str(gateway.config), "--json", *arguments]) == status, (arguments, said.getvalue())
    return json.loads(said.getvalue())


def explain(gateway: Gateway, *arguments: str, status: int = 0) -> Any:
    """In a process of its own: it runs a reactor."""
    done = gateway.command("--json", "explain", *arguments)
    assert done.returncode == status, (arguments, done.stdout, done.stderr)
    return json.loads(done.stdout)


def send(gateway: Gateway, sender: str, *recipients: str, size: int = 100) -> None:
    data = b"From: a@b.test\r\nSubject: x\r\n\r\n" + b"body\r\n" * (size // 6)
    with smtplib.SMTP("127.0.0.1", gateway.port(25), timeout=60) as client:
        client.sendmail(sender, list(recipients), data)


def test_what_operators_do_to_mail_that_waits(tmp_path: Path) -> None:
    gateway = Gateway.make(
        tmp_path / "demo",
        domains=["example.test"],
        users=["alice:secret"],
        smarthost="127.0.0.1:9",
        trust=["127.0.0.0/8"],
    )
    with RecordingHop() as hop, gateway:
        send(gateway, "a@b.test", "x@one.test", "y@two.test")
        send(gateway, "c@d.test", "z@two.test", size=400_000)
        counted = ask(gateway, "queue", "remove", "--recipient", "two.test", "--dry-run")
        assert (counted["messages"], counted["recipients"]) == (2, 2)
        ask(gateway, "queue", "remove", "--recipient", "two.test", "--reason", "oops")
        assert [each["sender"] for each in ask(gateway, "queue", "list")] == ["<a@b.test>"]
        gateway.stop()
        gateway.start()
        assert len(ask(gateway, "queue", "undo", "--list")) == 2
        back = ask(gateway, "queue", "undo", "--all")
        assert [each["done"] for each in back["messages"]] == [True, True]
        archive = tmp_path / "all.tar"
        assert ask(gateway, "spool", "export", str(archive))["messages"] == 2
        assert ask(gateway, "spool", "verify")["ok"]
        ask(gateway, "hold", "add", "stolen", "--sender", "c@d.test", "--reason", "a look")
        send(gateway, "c@d.test", "q@three.test")
        (held,) = ask(gateway, "queue", "list", "--held-for", "rule stolen")
        assert held["state"] == "held"
        explained = explain(gateway, held["id"])
        assert (explained["action"], explained["transport"]) == ("hold", "smarthost")
        ask(gateway, "queue", "release", held["id"])
        done = ask(gateway, "queue", "reroute", "--all", "--to", f"127.0.0.1:{hop.port}", "--yes")
        assert len(done["messages"]) == 3
        assert eventually(lambda: not ask(gateway, "queue", "list"))
        assert sorted(len(content) > 300_000 for content in hop.contents) == [False, False, True]
        imported = ask(gateway, "spool", "import", str(archive))
        assert (len(imported["imported"]), imported["refused"]) == (2, [])
        assert ask(gateway, "spool", "import", str(archive))["imported"] == []
        events = [event["event"] for event in ask(gateway, "trace", held["id"])]
        assert "held_by_rule" in events
        (tmp_path / "mail.eml").write_bytes(b"From: a@b.test\r\n\r\nx\r\n")
        options = ["--from", "c@d.test", "--to", "x@one.test"]
        strange = explain(gateway, str(tmp_path / "mail.eml"), *options, "--ip", "192.0.2.1", status=1)
        assert (strange["action"], strange["steps"][0]["step"]) == ("refuse", "permission")
        assert explained["findings"] == strange["findings"] == []
        trusted = explain(gateway, str(tmp_path / "mail.eml"), *options, "--ip", "127.0.0.1")
        assert (trusted["action"], trusted["findings"]) == ("hold", [])
        assert "rule stolen" in [step["step"] for step in trusted["steps"]]
