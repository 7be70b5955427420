"""A real gateway and its addresses: aliases, a list, forwarding with SRS and back, maps both ways, signed last; and the
verbs that look into them, with the service up and down.
"""

import json
import smtplib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dkim
import pytest
from real import eventually, journaled, unchecked
from recording_hop import RecordingHop

from relaygw.testing.gateway import Gateway

pytestmark = pytest.mark.interop

ALIASES = "webmaster: info\ninfo: alice, fred@far.test\nring: ring2\nring2: ring\n"
TABLES = """
[[table]]
name = "people"
use = "aliases"
options = { file = "aliases" }

[[table]]
name = "virtual"
use = "inline"
[table.options.entries]
"team@virtual.test" = ["alice@example.test", "member@far.test"]
"owner-team@virtual.test" = "bob@example.test"

[[table]]
name = "canonical"
use = "inline"
options = { entries = { "bob@example.test" = "robert@example.test", robert = "bob" } }

[aliases]
tables = ["people", "virtual"]
domains = ["virtual.test"]

[srs]
domain = "example.test"

[[rewriter]]
use = "addresses"
name = "canonical"
listeners = ["submission"]
options = { tables = ["canonical"] }

[[rewriter]]
use = "headers"
name = "tidy"
routes = ["rest"]
options = { remove = ["X-Secret", "From"], add = { From = "bob@example.test" } }
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, RecordingHop]]:
    folder = tmp_path_factory.mktemp("addresses") / "demo"
    with RecordingHop(["DSN", "8BITMIME"]) as hop:
        gateway = Gateway.make(
            folder, domains=["example.test"], users=["alice:secret", "bob:secret"], smarthost=f"127.0.0.1:{hop.port}"
        )
        (folder / "aliases").write_text(ALIASES)
        gateway.append(TABLES)
        with gateway:
            yield gateway, hop


def sent(gateway: Gateway, sender: str, *to: str, options: tuple[str, ...] = ()) -> dict[str, tuple[int, bytes]]:
    """A message of a stranger; whom it was refused for."""
    head = f"From: {sender or 'x@far.test'}\r\nTo: {to[0]}\r\nX-Secret: yes\r\nSubject: hello\r\n"
    with smtplib.SMTP("127.0.0.1", gateway.port(25), "client.far.test", timeout=60) as client:
        return client.sendmail(sender, list(to), f"{head}\r\nhello\r\n", rcpt_options=options)


def asked(gateway: Gateway, *arguments: str, status: int = 0) -> Any:
    done = gateway.command("--json", *arguments)
    assert done.returncode == status, done.stdout + done.stderr
    return json.loads(done.stdout)


def stored(gateway: Gateway, name: str) -> list[bytes]:
    return [path.read_bytes() for path in gateway.folder.glob(f"state/mail/{name}/new/*")]


def test_mail_of_others_is_forwarded_from_a_return_address_and_a_report_comes_back(
    made: tuple[Gateway, RecordingHop],
) -> None:
    gateway, hop = made
    before, had = len(hop.contents), stored(gateway, "alice")
    sent(gateway, "stranger@foreign.test", "webmaster@example.test")
    eventually(lambda: len(hop.contents) == before + 1 and len(stored(gateway, "alice")) > len(had))
    mail, rcpt = hop.said("MAIL")[-1], hop.said("RCPT")[-1]
    assert mail.startswith("MAIL FROM:<SRS0=")
    assert rcpt == "RCPT TO:<fred@far.test> ORCPT=rfc822;webmaster@example.test"
    assert b"X-Secret" not in hop.contents[-1]
    (local,) = set(stored(gateway, "alice")) - set(had)
    assert b"X-Secret: yes" in local
    assert local.startswith(b"Return-Path: <stranger@foreign.test>")
    back = mail.removeprefix("MAIL FROM:<").partition(">")[0]
    sent(gateway, "", back)
    eventually(lambda: len(hop.contents) == before + 2)
    assert hop.said("RCPT")[-1].startswith("RCPT TO:<stranger@foreign.test>")
    assert hop.said("MAIL")[-1].startswith("MAIL FROM:<>")
    with pytest.raises(smtplib.SMTPRecipientsRefused, match="delivery reports only"):
        sent(gateway, "a@far.test", back)
    with pytest.raises(smtplib.SMTPRecipientsRefused, match="not one of ours"):
        sent(gateway, "", back.replace("stranger", "victim"))
    (route,) = [asked(gateway, "route", "<>", back)]
    assert (route["final"], route["action"]) == ("stranger@foreign.test", "deliver")


def test_the_members_of_a_list_get_it_from_its_owner(made: tuple[Gateway, RecordingHop]) -> None:
    gateway, hop = made
    before, had = len(hop.contents), len(stored(gateway, "alice"))
    assert sent(gateway, "stranger@foreign.test", "team@virtual.test", "nobody@virtual.test").keys() == {
        "nobody@virtual.test"
    }
    eventually(lambda: len(hop.contents) > before and len(stored(gateway, "alice")) > had)
    assert hop.said("MAIL")[-1].startswith("MAIL FROM:<owner-team@virtual.test>")
    told = "<team@virtual.test> leads to <alice@example.test>, <member@far.test> (virtual)"
    eventually(lambda: told in gateway.command("trace", "stranger@foreign.test").stdout)
    with pytest.raises(smtplib.SMTPRecipientsRefused, match=r"4\.4\.6"):
        sent(gateway, "stranger@foreign.test", "ring@example.test")


def test_what_is_signed_is_what_leaves(made: tuple[Gateway, RecordingHop]) -> None:
    gateway, hop = made
    before = len(hop.contents)
    with smtplib.SMTP("127.0.0.1", gateway.port(587), timeout=60) as client:
        client.starttls(context=unchecked())
        client.login("bob", "secret")
        text = "From: Bob <bob@example.test>\r\nX-Secret: yes\r\nSubject: signed\r\n\r\nbody\r\n"
        client.sendmail("bob@example.test", ["far@far.test"], text)
    eventually(lambda: len(hop.contents) > before)
    content = hop.contents[-1]
    assert hop.said("MAIL")[-1].startswith("MAIL FROM:<robert@example.test>")
    assert b"X-Secret" not in content
    assert content.count(b"\r\nFrom: bob@example.test\r\n") == 1
    (record,) = asked(gateway, "dkim", "record")
    assert dkim.verify(content, dnsfunc=lambda name, **_: record["value"].encode())
    told = eventually(lambda: [each for each in journaled(gateway, "rewritten") if "tidy" in json.dumps(each)])
    assert told[-1]["route"] == "rest"


def test_tables_are_looked_into_with_the_service_up_and_down(made: tuple[Gateway, RecordingHop]) -> None:
    gateway, _ = made
    assert [(each["name"], each["entries"]) for each in asked(gateway, "table", "list")] == [
        ("people", 4), ("virtual", 2), ("canonical", 2),
    ]  # fmt: skip
    assert asked(gateway, "table", "lookup", "people", "INFO")["values"] == ["alice", "fred@far.test"]
    assert asked(gateway, "table", "lookup", "people", "none", status=1)["values"] == []
    assert "no table" in asked(gateway, "table", "show", "none", status=1)["error"]
    up = asked(gateway, "table", "expand", "webmaster@example.test")
    assert [each["address"] for each in up["finals"]] == ["alice@example.test", "fred@far.test"]
    found = asked(gateway, "table", "check", status=1)
    assert {each["message"].partition(":")[0] for each in found["findings"]} == {"ring", "ring2"}
    route = asked(gateway, "route", "a@far.test", "webmaster@example.test")
    gateway.stop()
    try:
        assert asked(gateway, "table", "expand", "webmaster@example.test") == up
        assert asked(gateway, "table", "show", "virtual")["count"] == 2
        assert "not the name" not in asked(gateway, "table", "lookup", "virtual", "@", status=2)["error"]
        down = asked(gateway, "route", "a@far.test", "webmaster@example.test")
        assert [way["recipient"] for way in down["recipients"]] == [way["recipient"] for way in route["recipients"]]
        (gateway.folder / "aliases").write_text("broken\n")
        assert "line 1" in asked(gateway, "table", "list", status=1)["error"]
        assert "line 1" in gateway.command("check").stdout
        assert not Path(gateway.folder / "state" / "srs-secret").exists()
    finally:  # the other tests want it up
        (gateway.folder / "aliases").write_text(ALIASES)
        gateway.start()
