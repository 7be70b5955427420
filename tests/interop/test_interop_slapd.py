"""People in a real OpenLDAP server: found by search, proven by bind, and never lost to a fault."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from certificates import Issued, issue
from mailboxes import services_for
from slapd import Slapd, serving, spawn
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from relaygw.core.address import Address
from relaygw.interfaces import IAccount, IDirectory
from relaygw.realm import account_portal
from relaygw.tables.ldap import LdapDirectory
from relaygw.tables.ldap_client import LdapFailure

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def authority() -> Issued:
    return issue("Test Authority", authority=True)


class SlapdTests(TestCase):
    timeout = 300
    slapd: Slapd
    folder: Path

    @pytest.fixture(autouse=True)
    def _serve(self, peer: Callable[[str], str], authority: Issued) -> Iterator[None]:
        self.program = peer("slapd")
        with serving(self.program, authority) as (self.slapd, self.folder):
            yield

    def directory(self, **options: Any) -> LdapDirectory:
        made = LdapDirectory(self.slapd.options(self.folder) | options, services_for(self.folder, reactor))
        self.addCleanup(made.close)
        assert IDirectory.providedBy(made)
        return made

    def login(self, directory: LdapDirectory, name: str, password: bytes) -> Any:
        credentials = UsernamePassword(name.encode(), password)
        return account_portal(directory).login(credentials, None, IAccount)

    def run_all(self, work: Callable[[], Any]) -> Any:
        return Deferred.fromCoroutine(work())

    def test_people_are_found_and_prove_themselves_over_starttls_and_ldaps(self) -> Any:
        async def work() -> None:
            for uri in (self.slapd.ldap, self.slapd.ldaps):
                directory = self.directory(servers=[uri])
                _, account, _ = await self.login(directory, "ALICE", b"wonderland")
                assert account.name == account.mailbox == "alice"
                assert account.addresses == (Address("alice", "example.com"), Address("a.smith", "example.com"))
                _, account, _ = await self.login(directory, "bob", "pässword*)".encode())
                assert account.name == "bob"
                for name, password in (("alice", b"wrong"), ("nobody", b"wonderland"), ("carol", b"x"), ("alice", b"")):
                    with pytest.raises(UnauthorizedLogin):
                        await self.login(directory, name, password)

        return self.run_all(work)

    def test_addresses_belong_to_those_who_have_them_with_and_without_a_tag(self) -> Any:
        async def work() -> None:
            directory = self.directory()
            for local in ("a.smith", "alice", "alice+lists", "Alice"):
                account = await directory.account(Address(local, "example.com"))
                assert account is not None
                assert account.name == "alice"
            assert await directory.account(Address("nobody", "example.com")) is None
            assert await directory.account(Address("alice", "elsewhere.test")) is None

        return self.run_all(work)

    def test_nothing_typed_changes_what_is_asked(self) -> Any:
        async def work() -> None:
            directory = self.directory()
            for name in (
                "*",
                "al*",
                "alice)(uid=*",
                "*)(objectClass=*",
                "x)(|(uid=*",
                "\\61lice",
                "alice\0",
                "a\\2a",
                "*ice",
            ):
                with pytest.raises(UnauthorizedLogin):
                    await self.login(directory, name, b"wonderland")
                assert await directory.named(name) is None
            assert await directory.account(Address('"*"', "example.com")) is None
            assert await directory.account(Address("*", "example.com")) is None

        return self.run_all(work)

    def test_what_cannot_be_found_out_is_never_no_such_user(self) -> Any:
        async def work() -> None:
            shared = Address("shared", "example.com")
            with pytest.raises(LdapFailure, match="more than one"):
                await self.directory().account(shared)
            (self.folder / "other").write_text("not the password")
            wrong = self.directory(bind_password_file=str(self.folder / "other"))
            nobody = self.directory(servers=["ldap://localhost:1"])
            for broken in (wrong, nobody):
                with pytest.raises(LdapFailure):
                    await broken.account(Address("alice", "example.com"))
                with pytest.raises(LdapFailure):
                    await self.login(broken, "alice", b"wonderland")

        return self.run_all(work)

    def test_a_certificate_of_another_authority_or_name_is_refused(self) -> Any:
        async def work() -> None:
            other = issue("Another", authority=True).write(self.folder, "another")
            for uri in (self.slapd.ldap, self.slapd.ldaps):
                port = uri.rpartition(":")[2]
                scheme = uri.partition(":")[0]
                for changed in ({"authorities": other.certificate}, {"servers": [f"{scheme}://127.0.0.1:{port}"]}):
                    with pytest.raises(LdapFailure):
                        await self.directory(**{"servers": [uri], **changed}).named("alice")

        return self.run_all(work)

    def test_a_server_that_was_restarted_is_asked_again_and_another_stands_in(self) -> Any:
        async def work() -> None:
            directory = self.directory()
            assert await directory.named("alice") is not None
            port = self.slapd.ldap.rpartition(":")[2]
            self.slapd.kill()
            with pytest.raises(LdapFailure):
                await directory.named("alice")
            self.slapd.process = spawn(self.program, self.folder, f"ldap://127.0.0.1:{port}/")
            assert await directory.named("alice") is not None
            two = self.directory(servers=["ldap://localhost:1", self.slapd.ldap])
            assert await two.named("bob") is not None

        return self.run_all(work)

    def test_many_questions_share_few_connections(self) -> Any:
        async def work() -> None:
            directory = self.directory(connections=2)
            waiting = [directory.named(name) for name in ("alice", "bob", "nobody") * 20]
            found = [await each for each in waiting]
            assert [account is not None for account in found] == [True, True, False] * 20

        return self.run_all(work)

    def test_connections_nobody_uses_are_let_go_of(self) -> Any:
        async def work() -> None:
            directory = self.directory(idle_timeout=0.2)
            assert await directory.named("alice") is not None
            (connection, _) = directory._searchers._free[0]
            assert connection.alive
            while connection.alive:
                await deferLater(reactor, 0.05, lambda: None)
            assert directory._searchers._free == []
            assert await directory.named("alice") is not None

        return self.run_all(work)
