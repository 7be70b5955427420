"""Filters that ask the DNS about clients, chained as an MX has them, against zones that a real name server serves."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from relaygw.bridge import as_deferred, resolve
from relaygw.config.schema import DnsConfig, FilterConfig
from relaygw.core.address import parse_address
from relaygw.core.authres import compose
from relaygw.core.envelope import Recipient
from relaygw.core.events import Event, FilterBroke, Judged
from relaygw.core.verdict import Action, Phase
from relaygw.dns import make_resolver
from relaygw.filters.chain import Chain, ChainResult
from relaygw.filters.greylist import GreylistFilter
from relaygw.filters.uses import build_uses
from relaygw.testing.filters import make_services, make_session, make_transaction
from relaygw.testing.name_servers import serve

pytestmark = pytest.mark.interop

SOA = "$TTL 300\n@ SOA ns.test. hostmaster.test. 1 3600 600 86400 60\n@ NS ns.test.\n"
SIX = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2"
ZONES = {
    "test": SOA + "ns A 127.0.0.1\ngood.client A 192.0.2.10\ngood.client AAAA 2001:db8::1\n"
    'client TXT "v=spf1 ip4:192.0.2.10 ip6:2001:db8::1 -all"\n',
    "2.0.192.in-addr.arpa": SOA + "10 PTR good.client.test.\n66 PTR good.client.test.\n",
    "8.b.d.0.1.0.0.2.ip6.arpa": SOA + f"{SIX.removesuffix('.8.b.d.0.1.0.0.2')} PTR good.client.test.\n",
    "bl.test": SOA + f'66.2.0.192 A 127.0.0.4\n66.2.0.192 TXT "see https://bl.test/66"\n2{SIX[1:]} A 127.0.0.2\n'
    "2.0.0.127 A 127.0.0.2\n77.2.0.192 A 127.0.0.10\n",
    "good.list.test": SOA + "20.2.0.192 A 127.0.10.3\n",
    "everything.test": SOA + "* A 127.0.0.2\n",
    "limit.test": SOA + "* A 127.255.255.254\n",
}
LISTS = [
    {"zone": "bl.test", "codes": ["127.0.0.2-7"]},
    {"zone": "good.list.test", "weight": -2.0},
    {"zone": "everything.test"},
    {"zone": "limit.test"},
    {"zone": "not-served.example"},
]
FILTERS = (
    FilterConfig(use="dnsbl", options={"lists": LISTS, "explain": True, "patience": 2}),
    FilterConfig(use="iprev"),
    FilterConfig(use="spf"),
    FilterConfig(use="greylist"),
)


@pytest.fixture
def server(tmp_path: Path, peer: Callable[[str], str]) -> Iterator[str]:
    with serve(tmp_path, peer("nsd"), ZONES) as address:
        yield address


@attrs.define
class Door:
    """The chain over a real resolver, and what it wrote to the journal."""

    chain: Chain
    events: list[Event]

    @classmethod
    def make(cls, server: str, state: str) -> "Door":
        events: list[Event] = []
        resolver = make_resolver(DnsConfig(nameservers=(server,)), reactor)
        uses = build_uses(FILTERS, make_services(resolver=resolver, clock=reactor, state=state))
        return cls(Chain(uses, reactor, events.append), events)

    async def mail(self, client: str, sender: str = "a@client.test") -> ChainResult:
        """What the chain says in phases mail and rcpt together."""
        transaction = make_transaction(sender=sender, session=make_session(client=client, hello="good.client.test"))
        found = await resolve(self.chain.ask(Phase.MAIL, transaction))
        if found.action is not Action.PASS:
            return found
        recipient = Recipient(address=parse_address("r@here.test"))
        transaction = attrs.evolve(transaction, recipient=recipient, results=found.results)
        return found.then(await resolve(self.chain.ask(Phase.RCPT, transaction)))

    def close(self) -> None:
        for use in self.chain.uses:
            if isinstance(use.filter, GreylistFilter):
                use.filter.store.close()

    def reasons(self, filter_: str) -> list[str]:
        assert not [event for event in self.events if isinstance(event, FilterBroke)]
        return [event.reason for event in self.events if isinstance(event, Judged) and event.filter == filter_]


class ChainTests(TestCase):
    timeout = 300
    server: str
    state: Path

    @pytest.fixture(autouse=True)
    def _serve(self, server: str, tmp_path: Path) -> None:
        self.server, self.state = server, tmp_path / "state"

    def run_against(self, story: Callable[[Door], Any]) -> "Deferred[None]":
        door = Door.make(self.server, str(self.state))
        self.addCleanup(door.close)
        return as_deferred(story(door))

    def test_a_good_client_passes_with_all_that_was_found(self) -> Any:
        async def story(door: Door) -> None:
            for client in ("192.0.2.10", "2001:db8::1"):
                found = await door.mail(client)
                assert found.action is Action.PASS, door.events
                field = compose("gateway.test", found.auth)
                assert (
                    b"iprev=pass reason=good.client.test" in field or b'iprev=pass reason="good.client.test"' in field
                )
                assert b"spf=pass smtp.mailfrom=a@client.test" in field
            assert door.reasons("greylist") == []

        return self.run_against(story)

    def test_a_listed_client_is_refused_in_the_lists_own_words(self) -> Any:
        async def story(door: Door) -> None:
            found = await door.mail("192.0.2.66")
            assert (found.action, found.filter) == (Action.REJECT, "dnsbl")
            assert str(found.verdict.reply) == (
                "554 5.7.1 192.0.2.66 is listed by bl.test The list explains: see https://bl.test/66"
            )
            assert (await door.mail("192.0.2.77", "a@nobody.test")).filter == "greylist"  # a code not asked for
            assert (await door.mail("2001:db8::2")).filter == "dnsbl"

        return self.run_against(story)

    def test_lists_that_lie_or_fail_refuse_nobody_and_are_left_alone(self) -> Any:
        async def story(door: Door) -> None:
            for _ in range(3):
                assert (await door.mail("192.0.2.10")).action is Action.PASS
            told = "; ".join(door.reasons("dnsbl"))
            for zone in ("everything.test", "limit.test", "not-served.example"):
                assert told.count(f"{zone} is left alone") == 1, told
            assert "everything.test is left alone for 600 s: it lists everything" in told
            assert "limit.test is left alone for 600 s: it answers 127.255.255.254" in told

        return self.run_against(story)

    def test_a_list_of_the_good_spares_greylisting_and_a_forged_sender_is_refused(self) -> Any:
        async def story(door: Door) -> None:
            found = await door.mail("192.0.2.20", "a@nobody.test")
            assert found.action is Action.PASS
            assert b"dnswl=pass dns.zone=good.list.test policy.ip=127.0.10.3" in compose("gateway.test", found.auth)
            assert [reason.partition(":")[0] for reason in door.reasons("iprev")] == ["iprev permerror"]
            assert (await door.mail("192.0.2.20")).filter == "spf"
            stranger = await door.mail("192.0.2.30", "a@nobody.test")
            assert (stranger.action, stranger.filter) == (Action.DEFER, "greylist")

        return self.run_against(story)
