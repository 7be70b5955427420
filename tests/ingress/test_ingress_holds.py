"""Mail that a rule holds is accepted, committed as held with its reason, journaled, and not offered to the queue."""

from pathlib import Path

import pytest
from ingress_rig import BODY, Rig

from relaygw.config.schema import Config, HoldConfig, HoldMatchConfig
from relaygw.core.events import Accepted, HeldByRule
from relaygw.holds import FILE, HoldBook

PEOPLE = "MAIL FROM:<{}>\r\nRCPT TO:<user@here.test>\r\nDATA\r\n{}.\r\n"


def rig_with(folder: Path, *rules: HoldConfig) -> Rig:
    config = Config(hostname="gateway.test", state=str(folder), domains=("here.test",), holds=rules)
    rig = Rig()
    book = HoldBook(str(folder / FILE), config, now=rig.clock.seconds, write_event=rig.events.append)
    return Rig(holds=book)


@pytest.mark.parametrize(("action", "quarantined"), [("hold", False), ("quarantine", True)])
def test_it_is_answered_250_and_held(action: str, quarantined: bool, tmp_path: Path) -> None:
    match = HoldMatchConfig(sender=("list.test",))
    rig = rig_with(tmp_path, HoldConfig(name="lists", action=action, reason="a look", match=match))  # type: ignore[arg-type]  # one of two
    client = rig.connect()
    client.send("EHLO client.test\r\n")
    assert client.codes(PEOPLE.format("a@list.test", BODY))[-1] == 250
    assert client.codes(PEOPLE.format("a@other.test", BODY))[-1] == 250
    held, free = rig.records()
    assert (held.held, held.quarantined) == (
        ("quarantine: " if quarantined else "") + "rule lists: a look",
        quarantined,
    )
    assert (free.held, free.quarantined) == ("", False)
    assert [record.queue_id for record, _ in rig.offered] == [free.queue_id]
    (event,) = rig.said(HeldByRule)
    assert (event.queue_id, event.rule, event.quarantined) == (held.queue_id, "lists", quarantined)
    assert len(rig.said(Accepted)) == 2


def test_header_fields_are_looked_at(tmp_path: Path) -> None:
    match = HoldMatchConfig(header={"Subject": "*invoice*"})
    rig = rig_with(tmp_path, HoldConfig(name="bills", match=match))
    client = rig.connect()
    client.send("EHLO client.test\r\n")
    client.codes(PEOPLE.format("a@list.test", "Subject: Your invoice\r\n\r\nx\r\n"))
    client.codes(PEOPLE.format("a@list.test", "Subject: hello\r\n\r\nx\r\n"))
    assert [bool(record.held) for record in rig.records()] == [True, False]
