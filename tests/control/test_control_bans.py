"""Bans over the control socket's HTTP: listed, added, lifted, and refused with a sentence."""

import json

from operators import NOW, Office, ask

from relaygw.control.app import ControlApp
from relaygw.control.web import make_site


def test_bans_are_listed_added_lifted_and_refused() -> None:
    office = Office()
    site = make_site(ControlApp(office.parts, NOW).app, office.clock)
    assert ask(site, "GET", "/bans").document == {"bans": []}
    added = ask(site, "POST", "/bans/add", b'{"subject": "192.0.2.0/24", "for": "1h", "reason": "spam"}')
    assert added.status == 200
    (ban,) = added.document["bans"]
    assert (ban["kind"], ban["subject"], ban["reason"], ban["times"]) == ("network", "192.0.2.0/24", "spam", 1)
    assert ask(site, "GET", "/bans").document["bans"] == [ban]
    for verb, body in (
        ("add", {"subject": ""}),
        ("add", {"subjet": "x"}),
        ("ban", {"subject": "x"}),
        ("add", {"subject": "a b"}),
    ):
        refused = ask(site, "POST", f"/bans/{verb}", json.dumps(body).encode())
        assert refused.status == 400
        assert refused.document["error"]
    assert ask(site, "POST", "/bans/lift", b'{"subject": "192.0.2.0/24"}').document["bans"] == [ban]
    assert ask(site, "GET", "/bans").document == {"bans": []}
