"""The rewriter "copy": a copy of each message goes to a further recipient, such as an archive (a journal copy).

The copy is the message itself, to one more recipient, who gets it by the route for his address; nobody is told when it
cannot be delivered (NOTIFY=NEVER), and the other recipients never see him. Options:

    to        the archive's address
    sender    only messages from these: addresses, domains, ".example.com", "local", "<>"; by default all
    recipient only messages to these, in the same way
    header    only messages with this field, as in "X-Archive: yes"; a name alone asks for the field with any value
"""

import re

import attrs
from zope.interface import implementer

from relaygw.core.address import parse_address
from relaygw.core.envelope import Envelope, Notify, Recipient
from relaygw.core.headers import fields
from relaygw.core.patterns import Patterns, compile_patterns
from relaygw.interfaces import IRewriter, Options, Services
from relaygw.plugins import structure_options

_HEADER = re.compile(r"([!-9;-~]+)(?::[ \t]*(.*?))?[ \t]*\Z")


@attrs.frozen(kw_only=True)
class CopyOptions:
    to: str
    sender: tuple[str, ...] = ()
    recipient: tuple[str, ...] = ()
    header: str = ""

    def __attrs_post_init__(self) -> None:
        parse_address(self.to)
        if self.header and not (_HEADER.match(self.header) and self.header.isascii()):
            raise ValueError('header must be a field such as "X-Archive: yes", or its name')


@implementer(IRewriter)
class CopyRewriter:
    """See the module."""

    def __init__(self, options: Options, services: Services) -> None:
        given = structure_options(CopyOptions, options)
        groups = {"local": services.settings.local_domains, "relay": services.settings.relay_domains}
        self._to = Recipient(address=parse_address(given.to), notify=frozenset({Notify.NEVER}))
        self._sender = compile_patterns(given.sender, groups) if given.sender else None
        self._recipient = compile_patterns(given.recipient, groups) if given.recipient else None
        match = _HEADER.match(given.header)
        self._name = match[1].lower().encode("ascii") if match else b""
        self._value = match[2].lower().encode("ascii") if match and match[2] else b""

    def rewrite(self, envelope: Envelope, head: bytes) -> tuple[Envelope, bytes]:
        """The envelope with one recipient more, where the message is meant and does not go to him already."""
        known = any(recipient.address == self._to.address for recipient in envelope.recipients)
        if known or not self._meant(envelope, head):
            return envelope, head
        return attrs.evolve(envelope, recipients=(*envelope.recipients, self._to)), head

    def _meant(self, envelope: Envelope, head: bytes) -> bool:
        return (
            (self._sender is None or self._sender.match(envelope.sender) != "")
            and (self._recipient is None or _any(self._recipient, envelope))
            and (not self._name or self._has_header(head))
        )

    def _has_header(self, head: bytes) -> bool:
        found = (field.value.lower() for field in fields(head) if field.name.lower() == self._name)
        return any(not self._value or value == self._value for value in found)


def _any(patterns: Patterns, envelope: Envelope) -> bool:
    return any(patterns.match(recipient.address) for recipient in envelope.recipients)
