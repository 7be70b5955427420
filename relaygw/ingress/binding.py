"""Sender binding (RFC 6409 6.1): who has logged in writes as themselves, in the reverse-path and in From.

The directory is asked for every message, so that a change in it holds at once. Without a login there is nobody to be
bound to: then, unless they are exempt, clients of trusted networks write from our own domains.
"""

from collections.abc import Awaitable, Mapping, Sequence
from functools import partial

import attrs

from relaygw.bridge import follow, resolve
from relaygw.core.address import Address
from relaygw.core.from_field import AuthorsError, read_authors
from relaygw.core.identity import Identity
from relaygw.core.patterns import Patterns, compile_patterns
from relaygw.core.permission import Destination, Permission
from relaygw.core.reply import Reply
from relaygw.core.session import Role, Session
from relaygw.interfaces import Account, IDirectory

Refusal = Reply | None


@attrs.frozen(kw_only=True)
class Binding:
    """`header`: From is looked at as well. `table` holds what logins may write as besides their own; "*": anybody."""

    directory: IDirectory
    permission: Permission
    header: bool = True
    exempt_trusted: bool = True
    table: Mapping[str, Sequence[str]] = attrs.field(factory=dict)

    def envelope(self, session: Session, sender: Address | None) -> Refusal | Awaitable[Refusal]:
        """The refusal of a reverse-path, None where it is the client's own; now or later."""
        if sender is None or not self._binds(session):
            return None
        return self._judge(session, [sender], "The sender")

    def head(self, session: Session, head: bytes) -> Refusal | Awaitable[Refusal]:
        """The refusal of a header section for its From field, None where all authors are the client's own."""
        if not self.header or not self._binds(session):
            return None
        try:
            authors = read_authors(head)
        except AuthorsError as error:
            return Reply(550, "5.7.1", f"It is not certain who wrote the message: {error}")
        return self._judge(session, [author.address for author in authors], "The From address")

    def _binds(self, session: Session) -> bool:
        if session.trusted and self.exempt_trusted:
            return False
        return bool(session.login) or session.role is Role.SUBMISSION

    def _judge(self, session: Session, addresses: list[Address], what: str) -> Refusal | Awaitable[Refusal]:
        return follow(self._identity(session), partial(self._compare, session.login, addresses, what))

    def _identity(self, session: Session) -> Identity | Awaitable[Identity]:
        if not session.login:
            return Identity(name=f"a client without a login ({session.client})", table=self._domains())
        return follow(self.directory.named(session.login), partial(self._of, session.login))

    def _of(self, login: str, account: Account | None) -> Identity:
        texts = self.table.get(login, ())
        return Identity(
            name=f"the login {login}",
            own=account.addresses if account is not None else (),
            table=self._patterns(texts),
            anybody="*" in texts,
        )

    def _compare(
        self, login: str, addresses: list[Address], what: str, identity: Identity
    ) -> Refusal | Awaitable[Refusal]:
        foreign = [address for address in addresses if not identity.covers(address)]
        return self._foreign(login, foreign, what, identity) if foreign else None

    async def _foreign(self, login: str, foreign: list[Address], what: str, identity: Identity) -> Refusal:
        """An address whose mail the directory gives to the same account is its own, as alice+list@ is alice's."""
        for address in foreign:
            local = self.permission.destination(address) is Destination.LOCAL
            account = await resolve(self.directory.account(address)) if login and local else None
            if account is None or account.name != login:
                return Reply(550, "5.7.1", f"{what} <{address}> is not an address of {identity.name}")
        return None

    def _domains(self) -> Patterns:
        local, relay = self.permission.local, self.permission.relay
        return compile_patterns([*local.exact, *local.suffixes, *relay.exact, *relay.suffixes], {})

    def _patterns(self, texts: Sequence[str]) -> Patterns | None:
        wanted = [text for text in texts if text != "*"]
        return compile_patterns(wanted, {"local": self.permission.local.exact}) if wanted else None
