"""The command line against a real running gateway, and against what it leaves behind."""

import json
import smtplib
import urllib.request
from pathlib import Path
from typing import Any

from real import eventually

from relaygw.testing.gateway import Gateway


def ask(gateway: Gateway, *arguments: str, status: int = 0) -> Any:
    done = gateway.command("--json", *arguments)
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout)


def test_operators_see_and_steer_a_running_gateway(tmp_path: Path) -> None:
    gateway = Gateway.make(
        tmp_path / "demo",
        domains=["example.test"],
        users=["alice:secret"],
        smarthost="127.0.0.1:9",
        trust=["127.0.0.0/8"],
    )
    with gateway:
        with smtplib.SMTP("127.0.0.1", gateway.port(25), timeout=60) as client:
            client.sendmail("a@b.test", ["x@elsewhere.test"], b"Subject: x\r\n\r\nbody\r\n")
        assert ask(gateway, "status")["messages"] == 1
        assert ask(gateway, "check")["ok"]
        (message,) = ask(gateway, "queue", "list", "--recipient", "elsewhere.test")
        queue_id = message["id"]
        assert "a duration" in ask(gateway, "queue", "list", "--older-than", "long", status=2)["error"]
        assert "neither" in ask(gateway, "ban", "add", "no/where", status=2)["error"]
        assert ask(gateway, "queue", "hold", queue_id)["messages"][0]["done"]
        assert ask(gateway, "queue", "show", queue_id)[0]["state"] == "held"
        assert ask(gateway, "route", "a@b.test", "nobody@example.test", status=1)["action"] == "fail"
        gateway.configure("[tls]", "colour = 1\n[tls]")
        (problem,) = ask(gateway, "reload", status=2)["problems"]
        assert problem["path"] == "colour"
        gateway.configure("colour = 1\n", "")
        assert ask(gateway, "reload")["waiting"] == []
        gateway.configure('name = "pop3s"', 'name = "other"')
        assert ask(gateway, "reload")["waiting"] == ["listener other", "listener pop3s"]
        eventually(lambda: "a restart is needed for: listener other, listener pop3s" in gateway.log.read_text())
        assert ask(gateway, "reload")["waiting"] == ["listener other", "listener pop3s"], "until it has happened"
        assert "pop3s" in [each["name"] for each in ask(gateway, "status")["listeners"]]
        token = (gateway.folder / "console-token").read_text().strip()
        request = urllib.request.Request(
            f"http://127.0.0.1:{gateway.port(8080)}/queue", headers={"Authorization": f"Bearer {token}"}
        )
        with urllib.request.urlopen(request, timeout=60) as page:
            assert queue_id in page.read().decode()
    assert ask(gateway, "status", status=3)["error"].startswith("the service is not running")
    assert ask(gateway, "queue", "remove", queue_id)["messages"][0]["message"] == "removed: 1 recipient"
    events = [event["event"] for event in ask(gateway, "trace", queue_id)]
    assert events[0] == "connected"
    assert events[-2:] == ["operated", "completed"]
