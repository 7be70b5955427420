"""One message checked: which keys to ask for, which hashes of the body, and what each signature comes to.

    check = Check(content.head, now)
    ask check.questions, all together; feed check.bodies, if needed; then check.conclude(answers)

The questions can be known before anything is hashed, so that the keys arrive meanwhile. `verify` does it all where the
content is small and answers come one by one.
"""

from base64 import b64encode
from collections.abc import Callable, Mapping
from functools import cache, partial
from hashlib import sha256

import attrs

from relaygw.core.content import Content
from relaygw.core.dkim.body import BodyHashes, Wanted
from relaygw.core.dkim.claim import FIELD, Claim, Terms, Unreadable, read_claim
from relaygw.core.dkim.finding import Finding, Findings, Result
from relaygw.core.dkim.head import Head
from relaygw.core.dkim.key import Key, UnusableKey, read_key
from relaygw.core.question import Answer, AnswerStatus, Inquiry, Question

LEAST_RSA_BITS = 1024  # RFC 8301 3.2: verifiers MUST NOT consider shorter keys
MAX_KEYS = 4
"""Records at one name that are tried; more than one is a mistake of the domain's (RFC 6376 3.6.2.2)."""

SINGLE_FIELDS = (
    b"from", b"date", b"sender", b"reply-to", b"to", b"cc", b"subject", b"message-id", b"in-reply-to", b"references",
    b"mime-version", b"content-type", b"content-transfer-encoding",
)  # fmt: skip
"""Fields that stand once (RFC 5322 3.6): one more than is signed may be the one that is shown (RFC 6376 8.15)."""


@attrs.frozen(kw_only=True)
class Policy:
    """What we make of signatures beyond the RFC's must. `signatures` is how many are looked at.

    `partial_body`: whether one that covers only the beginning of a body (l=) is as good as any; `clock_skew` is how
    many seconds from now a signature may have been made.
    """

    signatures: int = 8
    partial_body: bool = False
    clock_skew: int = 300


DEFAULT_POLICY = Policy()


class Settled(Exception):
    """The result of one signature, found before the end of its checks. It never leaves core."""

    def __init__(self, result: Result, reason: str) -> None:
        super().__init__(reason)
        self.result = result
        self.reason = reason


class Check:
    """The signatures of one message. `now` in POSIX seconds."""

    def __init__(self, head: bytes, now: float, policy: Policy = DEFAULT_POLICY) -> None:
        self._head = Head(head)
        self._now = now
        self._policy = policy
        found = self._head.named.get(FIELD, ())
        self._ignored = max(0, len(found) - policy.signatures)
        self._opened = [self._open(field) for field in found[: policy.signatures]]
        claims = [each for each in self._opened if type(each) is Claim]
        self.questions: tuple[Question, ...] = tuple(dict.fromkeys([claim.terms.question for claim in claims]))
        self.bodies = BodyHashes(dict.fromkeys(map(_wanted, claims)))

    def _open(self, field: bytes) -> "Claim | Finding":
        """The claim, or the finding that needs neither key nor body."""
        try:
            claim = read_claim(field)
        except Unreadable as error:
            return Finding(result=error.result, reason=error.reason, domain=error.domain, selector=error.selector)
        if claim.terms.algorithm == "rsa-sha1":
            return _finding(claim, Result.FAIL, "rsa-sha1 proves nothing any more")  # RFC 8301 3.1
        if claim.expires is not None and self._now >= claim.expires:
            return _finding(claim, Result.FAIL, "the signature has expired")
        return claim

    def conclude(self, answers: Mapping[Question, Answer]) -> Findings:
        """All findings, once every question is answered and the body has been fed."""
        self.bodies.finish()
        return Findings(
            signatures=tuple(
                [
                    each if isinstance(each, Finding) else self._judge(each, answers[each.terms.question])
                    for each in self._opened
                ]
            ),
            ignored=self._ignored,
        )

    def _judge(self, claim: Claim, answer: Answer) -> Finding:
        """Tries the keys at the name; what the best of them says."""
        if answer.status is AnswerStatus.FAILED:
            return _finding(claim, Result.TEMPERROR, f"looking up the key: {answer.reason}")
        records = [record for record in answer.records if isinstance(record, bytes)]
        if not records:
            return _finding(claim, Result.PERMERROR, f"there is no key at {claim.terms.question.name}")
        digest: Callable[[], bytes] = partial(self._digest, claim)
        if len(records) > 1:  # a header section may be long
            digest = cache(digest)
        first: Finding | None = None
        for record in records[:MAX_KEYS]:
            found = self._judge_with(claim, record, digest)
            if found.result in (Result.PASS, Result.POLICY):
                return found
            first = first or found
        assert first is not None
        return first

    def _judge_with(self, claim: Claim, record: bytes, digest: Callable[[], bytes]) -> Finding:
        key = None
        try:
            key = read_key(record)
            fitting(claim.terms, key)
            verify_with(key, claim.signature, digest)
            self._hashed(claim)
            self._acceptable(claim)
        except UnusableKey as error:
            return _finding(claim, Result.PERMERROR, str(error))
        except Settled as settled:
            return _finding(claim, settled.result, settled.reason, key)
        return _finding(claim, Result.PASS, "", key)

    def _digest(self, claim: Claim) -> bytes:
        return sha256(self._head.signed(claim.terms.names, claim.raw, claim.terms.head_form)).digest()

    def _hashed(self, claim: Claim) -> None:
        if claim.length is not None and claim.length > self.bodies.size(claim.terms.body_form):
            raise Settled(Result.FAIL, "l= is more than there is of the body")  # RFC 6376 3.5
        if self.bodies.digest(_wanted(claim)) != claim.body_hash:
            raise Settled(Result.FAIL, "the body hash did not verify")

    def _acceptable(self, claim: Claim) -> None:
        """What a good signature lacks to be worth something."""
        added = unsigned(self._head, claim.terms) if self._head.repeated else ""
        if added:
            raise Settled(Result.POLICY, added)
        if claim.length is not None and not self._policy.partial_body:
            whole = self.bodies.size(claim.terms.body_form)
            if claim.length < whole:
                raise Settled(Result.POLICY, f"only {claim.length} of {whole} octets of the body are signed")
        if claim.signed_at is not None and claim.signed_at > self._now + self._policy.clock_skew:
            raise Settled(Result.POLICY, "the signature was made in the future")


def _wanted(claim: Claim) -> Wanted:
    return Wanted(claim.terms.body_form, claim.length)


def fitting(terms: Terms, key: Key) -> None:
    """Whether the key is meant for this signature (RFC 6376 6.1.2)."""
    if key.type != terms.key_type:
        raise Settled(Result.PERMERROR, f"the key is one for {key.type}")
    if key.hashes is not None and "sha256" not in key.hashes:
        raise Settled(Result.PERMERROR, "the key does not allow sha256")
    if "*" not in key.services and "email" not in key.services:
        raise Settled(Result.PERMERROR, "the key is not for mail")
    if key.strict and terms.identity_domain != terms.domain:
        raise Settled(Result.PERMERROR, f"the key does not sign for names below {terms.domain}")


def unsigned(head: Head, terms: Terms) -> str:
    """Of which of the fields that stand once there is one more than was signed, in words; "" where of none."""
    for name in SINGLE_FIELDS:
        signed = terms.names.count(name) if name in head.repeated else 0
        if signed and head.shows_more(name, signed):
            return f"more {name.decode().title()} fields than were signed"
    return ""


def verify_with(key: Key, signature: bytes, digest: Callable[[], bytes]) -> None:
    """Raises Settled unless the key is long enough and has made the signature; `digest` is asked only then."""
    if key.type == "rsa" and key.size < LEAST_RSA_BITS:
        raise Settled(Result.FAIL, f"the key has only {key.size} bits")
    if not key.made(signature, digest()):
        raise Settled(Result.FAIL, "the signature did not verify")


def _finding(claim: Claim, result: Result, reason: str, key: Key | None = None) -> Finding:
    terms = claim.terms
    return Finding(
        result=result,
        reason=reason,
        domain=terms.domain,
        selector=terms.selector,
        identity=terms.identity,
        algorithm=terms.algorithm,
        key_size=key.size if key is not None else 0,
        testing=key is not None and key.testing,
        length=claim.length,
        signature=_beginning(claim.signature),
        notes=key.notes if key is not None else (),
    )


def _beginning(signature: bytes) -> str:
    """The first eight characters of b= (RFC 6008 4)."""
    return b64encode(signature[:6]).decode("ascii")


def verify(content: Content, now: float, policy: Policy = DEFAULT_POLICY) -> Inquiry[Findings]:
    """All signatures of a message, the keys asked one after the other."""
    head = content.head
    check = Check(head, now, policy)
    if check.bodies.needed:
        for piece in content.chunks(len(head) + 2):
            check.bodies.feed(piece)
    answers: dict[Question, Answer] = {}
    for question in check.questions:
        answers[question] = yield question
    return check.conclude(answers)
