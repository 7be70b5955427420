"""What a server offers in its answer to EHLO (RFC 5321 4.1.1.1). Keywords are compared without regard to case."""

from collections.abc import Mapping

import attrs

from relaygw.core.reply import Reply


@attrs.frozen(kw_only=True)
class Capabilities:
    """`keywords` maps a keyword in upper case to its parameters as sent; empty after HELO.

    `max_recipients` in one transaction, `max_messages` in one session and `max_domains` of its recipients are LIMITS
    (RFC 9422); 0 where nothing is said. `binary`: BINARYMIME, which means nothing without CHUNKING (RFC 3030 3).
    """

    keywords: Mapping[str, str] = attrs.field(factory=dict)
    pipelining: bool = False
    eight_bit: bool = False
    smtputf8: bool = False
    dsn: bool = False
    size_declared: bool = False
    size: int = 0
    chunking: bool = False
    binary: bool = False
    max_recipients: int = 0
    max_messages: int = 0
    max_domains: int = 0

    def offers(self, keyword: str) -> bool:
        return keyword in self.keywords

    @property
    def mechanisms(self) -> frozenset[str]:
        """The SASL mechanisms in upper case, also from the old form `AUTH=LOGIN`."""
        old = [word[5:] for word in self.keywords if word.startswith("AUTH=")]
        return frozenset(f"{self.keywords.get('AUTH', '')} {' '.join(old)}".upper().split())


def parse_capabilities(reply: Reply) -> Capabilities:
    """The extensions named by the lines after the first; a repeated keyword counts as first said."""
    keywords: dict[str, str] = {}
    for line in reply.text.split("\n")[1:]:
        keyword, _, parameters = line.strip().partition(" ")
        if keyword:
            keywords.setdefault(keyword.upper(), parameters.strip())
    size = keywords.get("SIZE", "")
    limits = _limits(keywords.get("LIMITS", ""))
    return Capabilities(
        keywords=keywords,
        pipelining="PIPELINING" in keywords,
        eight_bit="8BITMIME" in keywords,
        smtputf8="SMTPUTF8" in keywords,
        dsn="DSN" in keywords,
        size_declared="SIZE" in keywords,
        size=int(size) if size.isascii() and size.isdigit() and len(size) <= 20 else 0,
        chunking="CHUNKING" in keywords,
        binary="CHUNKING" in keywords and "BINARYMIME" in keywords,
        max_recipients=limits.get("RCPTMAX", 0),
        max_messages=limits.get("MAILMAX", 0),
        max_domains=limits.get("RCPTDOMAINMAX", 0),
    )


def _limits(parameters: str) -> dict[str, int]:
    """The limits that are numbers (RFC 9422 3); what is not well formed was never said."""
    found: dict[str, int] = {}
    for word in parameters.split():
        name, equals, value = word.partition("=")
        if equals and value.isascii() and value.isdigit() and len(value) <= 6:
            found[name.upper()] = int(value)
    return found
