"""A table that is a real OpenLDAP server: what it finds, what strangers cannot ask, that a fault is never a "no"."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from certificates import issue
from mailboxes import directory_for, services_for
from slapd import Slapd, serving
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from relaygw.aliases import Aliases, NamedTable
from relaygw.bridge import resolve
from relaygw.core.address import Address
from relaygw.core.aliasing import Rules
from relaygw.interfaces import IEntries, ITable
from relaygw.plugins import OptionsError
from relaygw.tables.ldap_client import LdapFailure
from relaygw.tables.ldap_table import LdapTable
from relaygw.tables.userfile import add_user

pytestmark = pytest.mark.interop


class SlapdTableTests(TestCase):
    timeout = 300
    slapd: Slapd
    folder: Path

    @pytest.fixture(autouse=True)
    def _serve(self, peer: Callable[[str], str]) -> Iterator[None]:
        with serving(peer("slapd"), issue("Test Authority", authority=True)) as (self.slapd, self.folder):
            yield

    def table(self, **options: Any) -> Any:
        about = {"key_filter": "(mail={key})", "attributes": ["uid"]}
        made = LdapTable(self.slapd.options(self.folder) | about | options, services_for(self.folder, reactor))
        self.addCleanup(made.close)
        assert verifyObject(ITable, made)
        assert not IEntries.providedBy(made)
        return made

    def run_all(self, work: Callable[[], Any]) -> Any:
        return Deferred.fromCoroutine(work())

    def test_values_are_found_and_strangers_ask_for_nothing_else(self) -> Any:
        async def work() -> None:
            table = self.table()
            assert await resolve(table.lookup("a.smith@example.com")) == ("Alice",)
            assert sorted(await resolve(table.lookup("shared@example.com"))) == ["bob", "carol"]
            assert table.lookup("shared") == table.lookup("@example.com") == ()
            for key in ("*@example.com", "a*@example.com", "x)(uid=*@example.com", "nobody@example.com"):
                assert await resolve(table.lookup(key)) == ()
            assert await resolve(self.table(key_filter="(uid={key})", names=True).lookup("bob")) == ("bob",)

        return self.run_all(work)

    def test_aliases_lead_to_people(self) -> Any:
        async def work() -> None:
            for name in ("alice", "bob", "carol"):
                add_user(str(self.folder / "users"), name, "x")
            aliases = Aliases(
                tables=(NamedTable("ldap", self.table()),),
                directory=directory_for(self.folder),
                rules=Rules(local=("example.com",)),
            )
            found = await resolve(aliases.resolve(Address("shared", "example.com"), None))
            assert {str(address) for address in found.addresses} == {"bob@example.com", "carol@example.com"}
            assert aliases.expand_now(Address("shared", "example.com")).plain  # nobody waits for it there

        return self.run_all(work)

    def test_what_cannot_be_asked_or_is_no_address_is_a_failure(self) -> Any:
        async def work() -> None:
            with pytest.raises(LdapFailure, match="neither an address nor a name"):
                await resolve(
                    self.table(attributes=["cn", "objectClass", "sn", "entryDN"]).lookup("a.smith@example.com")
                )
            (self.folder / "other").write_text("not the password")
            with pytest.raises(LdapFailure):
                await resolve(self.table(bind_password_file=str(self.folder / "other")).lookup("a.smith@example.com"))
            self.slapd.kill()
            with pytest.raises(LdapFailure):
                await resolve(self.table().lookup("a.smith@example.com"))

        return self.run_all(work)

    def test_wrong_options_are_told_at_start(self) -> None:
        for options, wrong in (
            ({"key_filter": "(mail=x)"}, "asks for everybody"),
            ({"key_filter": "(mail={login})"}, "there is no {login}"),
            ({"servers": []}, "one at least"),
            ({"attributes": []}, "one at least"),
            ({"scope": "all"}, "is not one of"),
            ({"bind_dn": ""}, "together or not at all"),
        ):
            with pytest.raises(OptionsError, match=wrong):
                self.table(**options)
