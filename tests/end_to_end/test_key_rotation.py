"""Keys are rotated while the service runs: it signs with the new one at once, and tells that nobody sees it."""

import json
import re
import smtplib
from pathlib import Path
from typing import Any

import dkim
from real import eventually
from recording_hop import RecordingHop

from relaygw.testing.gateway import Gateway


def selectors_of(message: bytes) -> list[str]:
    return re.findall(r"d=example\.test;\s+s=([a-z0-9]+);", message.decode("latin-1"))


def test_a_running_service_takes_the_new_key(tmp_path: Path) -> None:
    with RecordingHop(("PIPELINING", "8BITMIME")) as hop:
        gateway = Gateway.make(
            tmp_path / "demo", domains=["example.test"], smarthost=f"127.0.0.1:{hop.port}", trust=["127.0.0.0/8"]
        )

        def ask(*arguments: str, status: int = 0) -> Any:
            done = gateway.command("--json", *arguments)
            assert done.returncode == status, done.stdout + done.stderr
            return json.loads(done.stdout)

        def sent() -> bytes:
            before = len(hop.contents)
            with smtplib.SMTP("127.0.0.1", gateway.port(25), timeout=60) as client:
                client.sendmail("a@example.test", ["b@elsewhere.test"], "From: a@example.test\r\n\r\nHello\r\n")
            return eventually(lambda: hop.contents[before:])[0]

        zone = tmp_path / "zone.json"
        (old,) = ask("dkim", "record")
        zone.write_text(json.dumps({old["name"]: {"TXT": old["value"]}}))
        gateway.append(f'[dns]\nzone = "{zone}"')
        with gateway:
            assert selectors_of(sent()) == ["s1"]
            publish = ask("dkim", "rotate", "example.test", "--selector", "s2", "--force")["publish"]
            records = {each["name"].encode() + b".": each["value"].encode() for each in publish}
            message = sent()
            assert selectors_of(message) == ["s2"]
            assert dkim.verify(message, dnsfunc=lambda name, timeout=5: records.get(name))
            told = ask("status")["dkim"]
            assert (told["signing"], told["retired"], told["serious"]) == (1, 1, 1)
            assert told["problems"] == [
                "s2._domainkey.example.test: mail is signed with it, and its record is not published"
            ]
        journal = (gateway.folder / "state" / "journal.jsonl").read_text()
        assert '"key_trouble"' in journal
        assert '"key_advanced"' in journal
