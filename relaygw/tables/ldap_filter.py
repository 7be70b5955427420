"""Search filters with holes: `(&(objectClass=person)(uid={login}))`, read once and filled for every search.

What fills a hole becomes the value of one comparison in the tree that is sent, never text that is read again: nothing
a stranger types can change what is asked.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ldaptor.ldapfilter import InvalidLDAPFilter, parseFilter
from ldaptor.protocols import pureldap

_HOLE = re.compile(r"\{([a-z]+)\}")


class FilterError(ValueError):
    """The template cannot be used; the message tells why."""


class FilterTemplate:
    """`names` are the holes that may stand in the text; one of them must. Raises FilterError."""

    def __init__(self, text: str, names: frozenset[str]) -> None:
        if not _HOLE.search(text):
            raise FilterError(f"{text!r} asks for everybody: none of {_listed(names)} stands in it")
        try:
            self._tree = parseFilter(text)
        except InvalidLDAPFilter as error:
            raise FilterError(f"{text!r} is not a search filter: {error}") from None
        holes = [hole for value in _values(self._tree) for hole in _HOLE.findall(value)]
        for hole in holes:
            if hole not in names:
                raise FilterError(f"{text!r}: there is no {{{hole}}}; known are {_listed(names)}")
        if len(holes) != len(_HOLE.findall(text)):
            raise FilterError(f"{text!r}: a hole stands for the whole or a part of what is compared with =, no more")

    def fill(self, values: Mapping[str, str]) -> Any:
        """The filter to send."""
        return _filled(self._tree, values)


def _listed(names: frozenset[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in sorted(names))


def _values(node: Any) -> Iterator[str]:
    """What is compared with, everywhere in the tree."""
    if isinstance(node, pureldap.LDAPFilterSet):
        for each in node:
            yield from _values(each)
    elif isinstance(node, pureldap.LDAPFilter_not):
        yield from _values(node.value)
    elif isinstance(node, pureldap.LDAPAttributeValueAssertion):
        yield _text(node.assertionValue.value)


def _filled(node: Any, values: Mapping[str, str]) -> Any:
    if isinstance(node, pureldap.LDAPFilterSet):
        return type(node)([_filled(each, values) for each in node])
    if isinstance(node, pureldap.LDAPFilter_not):
        return type(node)(_filled(node.value, values))
    if isinstance(node, pureldap.LDAPAttributeValueAssertion):
        text = _HOLE.sub(lambda hole: values[hole[1]], _text(node.assertionValue.value))
        return type(node)(attributeDesc=node.attributeDesc, assertionValue=pureldap.LDAPAssertionValue(text))
    return node


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
