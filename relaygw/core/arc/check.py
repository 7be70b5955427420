"""A chain validated (RFC 8617 5.2), as an inquiry: the newest message signature, then all seals from the newest down.

It stops at the first failure, so that a made-up chain of fifty costs one question. Every failure is permanent, that of
the DNS too (5.2.1).
"""

from collections.abc import Iterator
from hashlib import sha256

from relaygw.core.arc.finding import Findings, Result, Seal
from relaygw.core.arc.sets import BrokenChain, Set, read_sets
from relaygw.core.content import Content
from relaygw.core.dkim.body import BodyHashes, Wanted
from relaygw.core.dkim.check import MAX_KEYS, Settled, fitting, unsigned, verify_with
from relaygw.core.dkim.claim import Claim, without_signature
from relaygw.core.dkim.head import Head, relaxed
from relaygw.core.dkim.key import UnusableKey, read_key
from relaygw.core.question import AnswerStatus, Inquiry


class Check:
    """The chain of one message. Feed `bodies`, if needed, before the inquiry is run to its end.

    `now` in POSIX seconds."""

    def __init__(self, head: bytes, now: float) -> None:
        self._head = Head(head)
        self._now = now
        self._broken = ""
        self._sets: tuple[Set, ...] = ()
        try:
            self._sets = read_sets(self._head)
        except BrokenChain as error:
            self._broken = str(error)
        self.bodies = BodyHashes([_wanted(self._sets[-1].signature)] if self._sets else [])

    def run(self) -> Inquiry[Findings]:
        if self._broken:
            return Findings(result=Result.FAIL, reason=self._broken)
        if not self._sets:
            return Findings(result=Result.NONE)
        self.bodies.finish()
        seals = tuple(map(_seal, self._sets))
        try:
            yield from self._check_message(self._sets[-1])
            for each, digest in reversed(list(zip(self._sets, _digests(self._sets), strict=True))):
                yield from _check(each.seal, digest, f"the seal of instance {each.instance}")  # RFC 8617 5.2, step 6
        except BrokenChain as error:
            return Findings(result=Result.FAIL, reason=str(error), seals=seals, temporary=error.temporary)
        return Findings(result=Result.PASS, seals=seals)

    def _check_message(self, newest: Set) -> Inquiry[None]:
        """RFC 8617 5.2, step 4."""
        claim = newest.signature
        where = f"the message signature of instance {newest.instance}"
        if claim.expires is not None and self._now >= claim.expires:
            raise BrokenChain(f"{where}: it has expired")
        if claim.length is not None and claim.length != self.bodies.size(claim.terms.body_form):
            raise BrokenChain(f"{where}: only part of the body is signed")
        if self.bodies.digest(_wanted(claim)) != claim.body_hash:
            raise BrokenChain(f"{where}: the body hash did not verify")
        added = unsigned(self._head, claim.terms)  # RFC 6376 8.15
        if added:
            raise BrokenChain(f"{where}: {added}")
        data = self._head.signed(claim.terms.names, claim.raw, claim.terms.head_form)
        yield from _check(claim, sha256(data).digest(), where)


def _wanted(claim: Claim) -> Wanted:
    return Wanted(claim.terms.body_form, claim.length)


def _seal(each: Set) -> Seal:
    return Seal(
        instance=each.instance,
        domain=each.seal.terms.domain,
        selector=each.seal.terms.selector,
        results=each.said,
    )


def sealed(sets: tuple[Set, ...]) -> bytes:
    """What the seal of the last set signs (RFC 8617 5.1.1): all sets in order, its own b= taken out."""
    parts = []
    for each in sets:
        parts += [relaxed(each.results), relaxed(each.signature.raw)]
        parts.append(relaxed(each.seal.raw if each is not sets[-1] else without_signature(each.seal.raw)))
    return b"".join(parts).removesuffix(b"\r\n")


def _digests(sets: tuple[Set, ...]) -> Iterator[bytes]:
    """The SHA-256 of what each seal signs, which is `sealed` of its set and those before: all in one pass, as a chain
    of fifty may fill a header section."""
    before = sha256()
    for each in sets:
        before.update(relaxed(each.results) + relaxed(each.signature.raw))
        own = before.copy()
        own.update(relaxed(without_signature(each.seal.raw)).removesuffix(b"\r\n"))
        yield own.digest()
        before.update(relaxed(each.seal.raw))


def _check(claim: Claim, digest: bytes, where: str) -> Inquiry[None]:
    """Ask for the key and verify one signature; raises BrokenChain."""
    answer = yield claim.terms.question
    if answer.status is AnswerStatus.FAILED:
        raise BrokenChain(f"{where}: looking up the key: {answer.reason}", temporary=True)
    records = [record for record in answer.records if isinstance(record, bytes)]
    if not records:
        raise BrokenChain(f"{where}: there is no key at {claim.terms.question.name}")
    faults = [_fault(claim, record, digest) for record in records[:MAX_KEYS]]
    if all(faults):
        raise BrokenChain(f"{where}: {faults[0]}")


def _fault(claim: Claim, record: bytes, digest: bytes) -> str:
    """Why the signature does not hold by the key of this record, "" where it does."""
    try:
        key = read_key(record)
        fitting(claim.terms, key)
        verify_with(key, claim.signature, lambda: digest)
    except UnusableKey as error:
        return str(error)
    except Settled as settled:
        return settled.reason
    return ""


def verify(content: Content, now: float) -> Inquiry[Findings]:
    """The chain of a message whose content is at hand."""
    head = content.head
    check = Check(head, now)
    if check.bodies.needed:
        for piece in content.chunks(len(head) + 2):
            check.bodies.feed(piece)
    return (yield from check.run())
