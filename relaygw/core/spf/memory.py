"""Findings of SPF kept for as long as the DNS answers that they were made from: the next message from the same client
for the same domain costs no evaluation. Time is an argument.

Kept is only what holds for every local part and every HELO name, and what is no failure of the DNS.
"""

from relaygw.core.address import Address
from relaygw.core.client import IPAddress
from relaygw.core.question import Inquiry
from relaygw.core.remembered import Remembered, timed
from relaygw.core.spf.check import check_hello, check_mail_from, sender_name
from relaygw.core.spf.result import Finding, Identity, Result

_Key = tuple[Identity, IPAddress, str]


class Memory:
    """At most `size` findings of one receiver; the arguments are those of `relaygw.core.spf.check`."""

    def __init__(self, receiver: str, size: int) -> None:
        self._receiver = receiver
        self._kept: Remembered[_Key, Finding] = Remembered(size)

    def __len__(self) -> int:
        return len(self._kept)

    def check_hello(self, *, client: IPAddress, hello: str, now: float) -> Inquiry[Finding]:
        key = (Identity.HELO, client, hello)
        known = self._kept.recall(key, now)
        if known is not None:
            return known
        inquiry = check_hello(client=client, hello=hello, receiver=self._receiver, now=now)
        return (yield from self._remember(key, inquiry, now))

    def check_mail_from(self, *, client: IPAddress, sender: Address | None, hello: str, now: float) -> Inquiry[Finding]:
        key = (Identity.MAIL_FROM, client, sender.domain if sender is not None else hello)
        known = self._kept.recall(key, now)
        if known is not None:
            return _for(sender, hello, known)
        inquiry = check_mail_from(client=client, sender=sender, hello=hello, receiver=self._receiver, now=now)
        return (yield from self._remember(key, inquiry, now))

    def _remember(self, key: _Key, inquiry: Inquiry[Finding], now: float) -> Inquiry[Finding]:
        finding, lifetime = yield from timed(inquiry)
        if lifetime > 0 and not finding.personal and finding.result is not Result.TEMPERROR:
            self._kept.keep(key, finding, now + lifetime)
        return finding


def _for(sender: Address | None, hello: str, kept: Finding) -> Finding:
    """The finding for another sender at the same domain. Made anew: that is several times quicker than to evolve it."""
    name = sender_name(sender, hello)
    if kept.sender == name and kept.hello == hello:
        return kept
    return Finding(
        result=kept.result,
        identity=kept.identity,
        client=kept.client,
        domain=kept.domain,
        sender=name,
        hello=hello,
        mechanism=kept.mechanism,
        explanation=kept.explanation,
        reason=kept.reason,
        lookups=kept.lookups,
    )
