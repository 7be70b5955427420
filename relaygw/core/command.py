"""The grammar of SMTP commands (RFC 5321 4.1.1, 4.1.2): one line without its CRLF in, a value or one CommandError out.

Strict where leniency makes two servers read one line differently (angle brackets, quoting, control characters),
lenient where it cannot (a space after "FROM:", case, white space at the end). Linear in the length of the line.
Knows the syntax of parameters, not their meaning (`relaygw.core.parameters`).
"""

import functools
import re

import attrs

from relaygw.core.address import MAX_PATH, Address, AddressError, normalize_domain, parse_address
from relaygw.core.reply import Reply

Parameters = tuple[tuple[str, str | None], ...]
"""ESMTP parameters in order: keyword in upper case, value as sent or None where there was no "="."""

_PATH = re.compile(r'<(?:[^"<>]|"(?:[^"\\]|\\.)*+")*+>')
_CHUNK = re.compile(r"([0-9]{1,20})(?: +(LAST))?\Z", re.IGNORECASE | re.ASCII)
_HOP = re.compile(r"@(\[[^\]]*\]|[^,:@\[\]]+)([,:])")
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*+)(?:=([!-<>-~\u0080-\U0010ffff]+))?\Z")
# A client's name for itself: letters, digits, hyphens and dots, and the underscore that real networks have; or an
# address literal. Nothing that could be more than a word in a Received field.
_HELLO = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,254})\Z|\[[A-Za-z0-9:.-]{1,100}\]\Z")


class CommandError(Exception):
    """The line is not what the grammar says; `reply` is the answer to it."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


@attrs.frozen
class Command:
    """`verb` in upper case, `argument` what follows the first space, without white space at its end."""

    verb: str
    argument: str


@attrs.frozen
class PathArgument:
    """The argument of MAIL or RCPT. `address` None: the null reverse-path.

    A source route before the address is checked for form and forgotten (RFC 5321 4.1.1.3, appendix C); nothing is
    ever sent along it.
    """

    address: Address | None
    parameters: Parameters = ()


def parse_command(line: bytes) -> Command:
    """Verb and argument of a line without its CRLF; raises CommandError (500 5.5.2)."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        raise CommandError(Reply(500, "5.5.2", "The command is not valid UTF-8")) from None
    if not text.isprintable():
        raise CommandError(Reply(500, "5.5.2", "The command holds control characters"))
    verb, _, argument = text.rstrip(" ").partition(" ")
    if not verb:
        raise CommandError(Reply(500, "5.5.2", "There is no command before the end of the line"))
    return Command(verb.upper(), argument)


def parse_hello(argument: str) -> str:
    """The client's name in EHLO or HELO; raises CommandError (501 5.5.4).

    More than a domain name may be (RFC 5321 4.1.4 forbids to refuse a wrong name), but never more than one word.
    """
    if not _HELLO.match(argument):
        raise CommandError(Reply(501, "5.5.4", "EHLO and HELO want a domain name or an address literal"))
    return argument


def parse_mail(argument: str) -> PathArgument:
    """What follows MAIL; raises CommandError (501 5.5.4, 501 5.1.7, 553 5.6.7).

    Whether the address may be UTF-8 is said behind it, by the parameter SMTPUTF8 (RFC 6531 3.4).
    """
    path, parameters = _split("MAIL FROM:<address>", "FROM:", argument)
    if path == "<>":
        return PathArgument(None, parameters)
    utf8 = any(keyword == "SMTPUTF8" for keyword, _ in parameters)
    return PathArgument(_address(path, "5.1.7", utf8), parameters)


def parse_rcpt(argument: str, postmaster: Address, *, utf8: bool = False) -> PathArgument:
    """What follows RCPT; `postmaster` is who a bare `<postmaster>` is. Raises CommandError (also 501 5.1.3)."""
    path, parameters = _split("RCPT TO:<address>", "TO:", argument)
    if path.lower() == "<postmaster>":  # RFC 5321 4.1.1.3
        return PathArgument(postmaster, parameters)
    return PathArgument(_address(path, "5.1.3", utf8), parameters)


@attrs.frozen
class ChunkArgument:
    """The argument of BDAT: how many octets follow the command, and whether they are the last (RFC 3030 2)."""

    size: int
    last: bool


def parse_chunk(argument: str) -> ChunkArgument:
    """What follows BDAT; raises CommandError (501 5.5.4), after which nobody knows where the next command begins."""
    found = _CHUNK.match(argument)
    if found is None:
        raise CommandError(Reply(501, "5.5.4", "Syntax: BDAT size [LAST]"))
    return ChunkArgument(int(found[1]), found[2] is not None)


def parse_verify(argument: str) -> str:
    """Whom VRFY asks about; raises CommandError (501 5.5.4, 553 5.6.7; RFC 6531 3.7.4.2)."""
    text, _, keyword = argument.rpartition(" ")
    asked = text if text and keyword.upper() == "SMTPUTF8" else argument
    if not asked:
        raise CommandError(Reply(501, "5.5.4", "An argument is wanted"))
    if asked is argument and not argument.isascii():
        raise CommandError(Reply(553, "5.6.7", "The address needs the parameter SMTPUTF8"))
    return asked


def _split(usage: str, keyword: str, argument: str) -> tuple[str, Parameters]:
    """The path with its brackets, and the parameters behind it."""
    if argument[: len(keyword)].upper() != keyword:
        raise CommandError(Reply(501, "5.5.4", f"Syntax: {usage}"))
    rest = argument[len(keyword) :].lstrip(" ")
    found = _PATH.match(rest)
    if found is None:
        raise CommandError(Reply(501, "5.5.4", f"Syntax: {usage}, in angle brackets"))
    return found[0], parse_parameters(rest[found.end() :])


def _address(path: str, enhanced: str, utf8: bool) -> Address:
    if not utf8 and not path.isascii():
        raise CommandError(Reply(553, "5.6.7", "The address needs SMTPUTF8, which was not agreed on"))
    try:
        return _parse_path(path)
    except AddressError as error:
        raise CommandError(Reply(501, enhanced, f"Bad address: {error}")) from None


@functools.lru_cache(maxsize=4096)
def _parse_path(path: str) -> Address:
    """The same few addresses come again and again; what is kept is bounded by MAX_PATH octets each."""
    if len(path.encode("utf-8", "replace")) > MAX_PATH:
        raise AddressError("the path is longer than 256 octets")
    inner = path[1:-1]
    return parse_address(_without_route(inner) if inner.startswith("@") else inner)


def _without_route(path: str) -> str:
    """The mailbox behind `@hop,@hop:` (RFC 5321 4.1.2, A-d-l); raises AddressError."""
    position = 0
    while hop := _HOP.match(path, position):
        normalize_domain(hop[1])
        position = hop.end()
        if hop[2] == ":":
            return path[position:]
    raise AddressError("the source route is not well formed")


def parse_parameters(text: str) -> Parameters:
    """What follows a path: nothing, or a space and parameters; raises CommandError (501 5.5.4)."""
    if not text:
        return ()
    if not text.startswith(" "):
        raise CommandError(Reply(501, "5.5.4", "There is no space after the path"))
    found: dict[str, str | None] = {}
    for word in text.split(" "):
        if word:
            keyword, value = _parameter(word)
            if keyword in found:
                raise CommandError(Reply(501, "5.5.4", f"The parameter {keyword} is given twice"))
            found[keyword] = value
    return tuple(found.items())


def _parameter(word: str) -> tuple[str, str | None]:
    parameter = _PARAMETER.match(word)
    if parameter is None:
        raise CommandError(Reply(501, "5.5.4", "A parameter is not of the form KEYWORD or KEYWORD=value"))
    return parameter[1].upper(), parameter[2]
