"""The directory that is an LDAP server: people are found by a search and prove themselves by a bind.

`login_filter` finds who logs in ({login} as typed, {local} and {domain} its parts), `address_filter` whose an address
is ({address}, {local}, {domain}). An account's name is its `name_attribute`, in lower case; its addresses are those
`address_attributes` that are in local domains. A server that cannot be asked is never "no such user": whoever asks
is told to come back.
"""

import os
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import attrs
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from zope.interface import implementer

from relaygw.bridge import deferred
from relaygw.config.kinds import Count, Duration
from relaygw.core.address import Address, AddressError, parse_address
from relaygw.interfaces import Account, IDirectory, Options, Services
from relaygw.plugins import OptionsError, structure_options
from relaygw.tables.ldap_client import Connection, Entry, LdapFailure, Pool, Search, parse_server
from relaygw.tables.ldap_filter import FilterError, FilterTemplate
from relaygw.tables.userfile import UsersError, canonical_name

SCOPES = {"base": 0, "one": 1, "sub": 2}
_LOGIN_HOLES = frozenset({"login", "local", "domain"})
_ADDRESS_HOLES = frozenset({"address", "local", "domain"})


@attrs.frozen(kw_only=True)
class SearchOptions:
    """`servers` are ldap:// (with STARTTLS unless `start_tls` is false) or ldaps:// URIs, asked in this order.

    `bind_dn` "" searches as nobody; `authorities` is a PEM file, "" those of the system."""

    servers: tuple[str, ...]
    base: str
    start_tls: bool = True
    authorities: str = ""
    bind_dn: str = ""
    bind_password_file: str = ""
    scope: str = "sub"
    connections: Count = 4
    timeout: Duration = 5.0
    idle_timeout: Duration = 60.0


@attrs.frozen(kw_only=True)
class LdapOptions(SearchOptions):
    """`mailbox_attribute` "" gives everybody a mailbox of their own name. `tag` begins the part of a local part that is
    not the address itself."""

    login_filter: str = "(uid={login})"
    address_filter: str = "(mail={address})"
    name_attribute: str = "uid"
    address_attributes: tuple[str, ...] = ("mail",)
    mailbox_attribute: str = ""
    tag: str = "+"


@implementer(IDirectory)
class LdapDirectory:
    """Made with its options and Services. Raises OptionsError, or OSError for a file that cannot be read."""

    def __init__(self, options: Options, services: Services) -> None:
        given = structure_options(LdapOptions, options)
        self._options = given = beside(given, services.settings.path)
        self._domains = frozenset(services.settings.domains)
        self._find_login, self._find_address = _templates(given)
        self._searchers = make_pool(given, services.reactor, Introduction(given))
        # A bind changes who a connection is: people prove themselves on others than those that search.
        self._provers = make_pool(given, services.reactor, _nothing)
        self.checkers: tuple[Any, ...] = (LdapChecker(self),)

    @deferred
    async def account(self, address: Address) -> Account | None:
        """Whose a local address is; of `name+tag` the one without the tag, where the whole is nobody's."""
        if address.domain not in self._domains:
            return None
        found = await self._by_address(address)
        local, tag, _ = address.local.partition(self._options.tag) if self._options.tag else (address.local, "", "")
        if found is None and tag and local:
            found = await self._by_address(Address(local, address.domain))
        return found

    async def _by_address(self, address: Address) -> Account | None:
        values = {"address": str(address), "local": address.local, "domain": address.domain}
        entry = await self._one(self._find_address, values)
        return self._account(entry) if entry is not None else None

    @deferred
    async def named(self, login: str) -> Account | None:
        """Who logs in under this name."""
        entry = await self.entry(login)
        return self._account(entry) if entry is not None else None

    async def entry(self, login: str) -> Entry | None:
        """The entry of whoever logs in under this name; raises LdapFailure."""
        local, at, domain = login.rpartition("@")
        values = {"login": login, "local": local if at else login, "domain": domain if at else ""}
        return await self._one(self._find_login, values)

    async def proves(self, entry: Entry, password: bytes) -> bool:
        """Whether the password is that of the entry. An empty one proves nothing (RFC 4513 5.1.2)."""
        if not password or not entry.dn:
            return False
        return await self._provers.use(lambda connection: connection.bind(entry.dn, password))

    async def _one(self, template: FilterTemplate, values: dict[str, str]) -> Entry | None:
        """Two who fit are a fault of the directory, and nobody's mail or login goes to the first of them."""
        given = self._options
        attributes = (given.name_attribute, *given.address_attributes, given.mailbox_attribute)
        search = Search(
            base=given.base,
            scope=SCOPES[given.scope],
            filter=template.fill(values),
            attributes=tuple(name for name in attributes if name),
        )
        found = await self._searchers.use(lambda connection: connection.search(search))
        if len(found) > 1:
            raise LdapFailure("more than one entry fits")
        return found[0] if found else None

    def _account(self, entry: Entry) -> Account:
        given = self._options
        names = entry.attributes.get(given.name_attribute.lower(), ())
        boxes = entry.attributes.get(given.mailbox_attribute.lower(), ()) if given.mailbox_attribute else names
        try:
            name, mailbox = canonical_name(names[0]), canonical_name(boxes[0])
        except (IndexError, UsersError):
            raise LdapFailure(f"{entry.dn} has no {given.name_attribute} that can be a user's name") from None
        values = [value for each in given.address_attributes for value in entry.attributes.get(each.lower(), ())]
        return Account(name=name, addresses=self._local(values), mailbox=mailbox)

    def _local(self, values: list[str]) -> tuple[Address, ...]:
        found = []
        for value in values:
            try:
                found.append(parse_address(value))
            except AddressError:
                continue  # an attribute of the directory that is no address is not ours to judge
        return tuple(dict.fromkeys(address for address in found if address.domain in self._domains))

    def close(self) -> None:
        """Let go of idle connections."""
        self._searchers.close()
        self._provers.close()


@implementer(ICredentialsChecker)
class LdapChecker:
    """Checks UsernamePassword by a bind; the avatar id is the login as typed, which the directory finds again."""

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, directory: LdapDirectory) -> None:
        self._directory = directory

    @deferred
    async def requestAvatarId(self, credentials: Any) -> bytes | tuple[()]:
        """Raises UnauthorizedLogin with the same words whatever was wrong, LdapFailure where nobody can tell."""
        username: bytes = credentials.username
        try:
            entry = await self._directory.entry(username.decode("utf-8"))
        except UnicodeDecodeError:
            entry = None
        if entry is None or not await self._directory.proves(entry, credentials.password):
            raise UnauthorizedLogin("wrong user name or password")
        return username


S = TypeVar("S", bound=SearchOptions)


class Introduction:
    """Binds a fresh connection as ourselves. Raises OSError where the password cannot be read."""

    def __init__(self, given: SearchOptions) -> None:
        self._name = given.bind_dn
        self._password = _password(given)

    async def __call__(self, connection: Connection) -> None:
        if self._name and not await connection.bind(self._name, self._password):
            raise LdapFailure("the server does not take our own bind_dn and password")


def make_pool(given: SearchOptions, reactor: Any, prepare: Callable[[Connection], Awaitable[None]]) -> Pool:
    """Connections to the servers; raises ValueError for what is no server."""
    servers = [parse_server(uri, given.start_tls, given.authorities) for uri in given.servers]
    return Pool(
        servers=servers,
        reactor=reactor,
        timeout=given.timeout,
        idle=given.idle_timeout,
        size=given.connections,
        prepare=prepare,
    )


def beside(given: S, config: str) -> S:
    """Files are named from the folder of the configuration."""
    folder = os.path.dirname(config)
    return attrs.evolve(
        given,
        authorities=given.authorities and os.path.join(folder, given.authorities),
        bind_password_file=given.bind_password_file and os.path.join(folder, given.bind_password_file),
    )


def faults(given: SearchOptions) -> list[str]:
    """What is wrong between the options of a search."""
    problems = [] if given.servers else ["option 'servers': one at least is wanted"]
    if given.scope not in SCOPES:
        problems.append(f"option 'scope': {given.scope!r} is not one of {', '.join(SCOPES)}")
    if bool(given.bind_dn) != bool(given.bind_password_file):
        problems.append("bind_dn and bind_password_file are given together or not at all")
    return problems


def _templates(given: LdapOptions) -> tuple[FilterTemplate, FilterTemplate]:
    problems = faults(given)
    made = []
    for name, text, holes in (
        ("login_filter", given.login_filter, _LOGIN_HOLES),
        ("address_filter", given.address_filter, _ADDRESS_HOLES),
    ):
        try:
            made.append(FilterTemplate(text, holes))
        except FilterError as error:
            problems.append(f"option {name!r}: {error}")
    if problems:
        raise OptionsError(*problems)
    return made[0], made[1]


def _password(given: SearchOptions) -> bytes:
    if not given.bind_password_file:
        return b""
    with open(given.bind_password_file, "rb") as file:
        return file.read().strip(b"\r\n")


async def _nothing(_: Connection) -> None:
    """Whoever proves a password needs no introduction."""
