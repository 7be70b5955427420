"""Who wrote a message: the mailboxes of its From fields (RFC 5322 3.4, 3.6.2), read strictly enough to decide by.

A value that can be read in two ways is not read at all: programs that show mail differ in what they make of it, and
somebody's name must not be borrowed through the difference. Groups and obsolete white space are understood.
"""

import re
from collections.abc import Iterator
from itertools import islice

import attrs

from relaygw.core.address import Address, AddressError, parse_address
from relaygw.core.headers import values

MAX_VALUE = 16 * 1024
"""Octets of a From field that is still read."""

MAX_AUTHORS = 50
"""Mailboxes of a From field; one is usual."""

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\[[^\[\]\s]*\]|[<>,;:()]|\s+|[^\s"<>,;:()\[\]\\]+|\\.', re.DOTALL)


@attrs.frozen
class Author:
    """One mailbox; `name` is its display name as it was written (quotes and encoded words kept), "" without one."""

    address: Address
    name: str = ""


class AuthorsError(ValueError):
    """The field cannot be read in one way only; the message says why."""


def read_authors(head: bytes) -> tuple[Author, ...]:
    """The authors of a header section, empty where there is no From field; raises AuthorsError."""
    found = values(head, b"from")
    if len(found) > 1:
        raise AuthorsError("there is more than one From field")
    return parse_authors(found[0]) if found else ()


def parse_authors(value: bytes) -> tuple[Author, ...]:
    """The mailboxes of an unfolded From value; at least one; raises AuthorsError."""
    if len(value) > MAX_VALUE:
        raise AuthorsError("the From field is too long")
    authors = tuple(islice(_mailboxes(_visible(value.decode("utf-8", "replace"))), MAX_AUTHORS + 1))
    if len(authors) > MAX_AUTHORS:
        raise AuthorsError(f"the From field names more than {MAX_AUTHORS} authors")
    if not authors:
        raise AuthorsError("the From field names nobody")
    return authors


def _visible(text: str) -> list[str]:
    """The tokens outside of comments."""
    shown: list[str] = []
    depth = end = 0
    for token in _TOKEN.finditer(text):
        if token.start() != end:
            break
        end = token.end()
        if token[0] == ")":
            depth -= 1
            if depth < 0:
                break
            shown.append(" ")
        elif token[0] == "(":
            depth += 1
        elif not depth:
            shown.append(token[0])
    if end != len(text) or depth:
        raise AuthorsError("a quote, comment or bracket of the From field does not end")
    return shown


def _mailboxes(tokens: list[str]) -> Iterator[Author]:
    words: list[str] = []
    group = False
    for word in [*tokens, ","]:
        if word == ":" and not group and "<" not in words:
            group, words = True, []  # what stood before it was the group's name
        elif word == "," or (word == ";" and group):
            if author := _mailbox(words):
                yield author
            words = []
            group = group and word != ";"
        else:
            words.append(word)


def _mailbox(words: list[str]) -> Author | None:
    text = "".join(words).strip()
    if not text:
        return None
    if "<" not in words and ">" not in words:
        return Author(_address(words))
    opened = words.index("<") if "<" in words else len(words)
    if words.count("<") != 1 or words.count(">") != 1 or not text.endswith(">") or ">" in words[:opened]:
        raise AuthorsError("an address of the From field does not stand alone in its brackets")
    closed = words.index(">")
    return Author(_address(words[opened + 1 : closed]), " ".join("".join(words[:opened]).split()))


def _apart(before: str, word: str, after: str) -> bool:
    """Whether white space separates what does not belong together."""
    marks = (".", "@")
    return word.isspace() and not (before.endswith(marks) or after.startswith(marks))


def _address(words: list[str]) -> Address:
    """White space around the parts of an address is obsolete, and allowed (RFC 5322 4.4)."""
    spaced: list[str] = []
    for word in words:
        if not (word.isspace() and spaced and spaced[-1].isspace()):
            spaced.append(word)
    if any(_apart(*three) for three in zip(spaced, spaced[1:], spaced[2:], strict=False)):
        raise AuthorsError("what stands in the From field is no address")
    try:
        return parse_address("".join(word for word in words if not word.isspace()))
    except AddressError as error:
        raise AuthorsError(f"an address of the From field cannot be read: {error}") from None
