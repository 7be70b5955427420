"""The table that is an LDAP server: a key is looked for by `key_filter`, and the values of `attributes` are what it
leads to. Options besides those of the directory (servers, base, bind_dn …):

    key_filter  a search filter with {key}, or with its parts {local} and {domain}; "(mailAlternateAddress={key})"
    attributes  whose values are addresses or names, as in other tables; ("mail",)
    names       whether keys without a domain, and of whole domains (@domain), are asked for, too (false)

What the server does not say in time is a failure, and the mail waits; values that are none are, too.
"""

from collections.abc import Awaitable

import attrs
from zope.interface import implementer

from relaygw.bridge import deferred
from relaygw.core.table_files import target_fault
from relaygw.interfaces import ITable, Options, Services
from relaygw.plugins import OptionsError, structure_options
from relaygw.tables.ldap import SCOPES, Introduction, SearchOptions, beside, faults, make_pool
from relaygw.tables.ldap_client import LdapFailure, Search
from relaygw.tables.ldap_filter import FilterError, FilterTemplate

_HOLES = frozenset({"key", "local", "domain"})

MAX_ENTRIES = 1000
"""Entries that fit a key."""

MAX_VALUES = 10_000
"""Values of one key."""


@attrs.frozen(kw_only=True)
class LdapTableOptions(SearchOptions):
    key_filter: str
    attributes: tuple[str, ...] = ("mail",)
    names: bool = False


@implementer(ITable)
class LdapTable:
    """Made with its options and Services. Raises OptionsError, or OSError for a file that cannot be read."""

    def __init__(self, options: Options, services: Services) -> None:
        given = structure_options(LdapTableOptions, options)
        self._options = given = beside(given, services.settings.path)
        problems = faults(given) + ([] if given.attributes else ["option 'attributes': one at least is wanted"])
        try:
            self._template = FilterTemplate(given.key_filter, _HOLES)
        except FilterError as error:
            problems.append(f"option 'key_filter': {error}")
        if problems:
            raise OptionsError(*problems)
        self._pool = make_pool(given, services.reactor, Introduction(given))

    def lookup(self, key: str) -> tuple[str, ...] | Awaitable[tuple[str, ...]]:
        """The values, later; at once where such keys are not asked for."""
        local, at, domain = key.rpartition("@")
        if not (at and local) and not self._options.names:
            return ()
        return self._search({"key": key, "local": local if at else key, "domain": domain if at else ""})

    @deferred
    async def _search(self, values: dict[str, str]) -> tuple[str, ...]:
        given = self._options
        search = Search(
            base=given.base,
            scope=SCOPES[given.scope],
            filter=self._template.fill(values),
            attributes=given.attributes,
            limit=MAX_ENTRIES + 1,
        )
        entries = await self._pool.use(lambda connection: connection.search(search))
        if len(entries) > MAX_ENTRIES:
            raise LdapFailure(f"{values['key']} fits more than {MAX_ENTRIES} entries")
        found = dict.fromkeys(
            value for entry in entries for name in given.attributes for value in entry.attributes.get(name.lower(), ())
        )
        if len(found) > MAX_VALUES:
            raise LdapFailure(f"{values['key']} has more than {MAX_VALUES} values")
        for value in found:
            if fault := target_fault(value):
                raise LdapFailure(f"{values['key']}: {fault}")
        return tuple(found)

    def close(self) -> None:
        """Let go of idle connections."""
        self._pool.close()
