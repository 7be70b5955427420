"""An ARC set of our own (RFC 8617 5.1), but for the private key's part, which is a function handed in.

A set says what we found when the message came, in the words of our own Authentication-Results field, and is sealed
together with all sets before it. A chain that is broken is sealed once, as broken, and never again (5.1.2).
"""

import base64
import re
from collections.abc import Callable

import attrs

from relaygw.core import authres
from relaygw.core.arc.check import sealed
from relaygw.core.arc.finding import Result
from relaygw.core.arc.sets import MAX_SETS, BrokenChain, Set, read_sets
from relaygw.core.dkim.claim import Claim, Terms
from relaygw.core.dkim.head import Head
from relaygw.core.dkim_signature import SIGNED_FIELDS
from relaygw.core.headers import named_fields, value_of

_SIGNED = (*SIGNED_FIELDS, b"dkim-signature")  # RFC 8617 4.1.2: those SHOULD be signed, seals MUST NOT
_WIDTH = 72
_BLANK = Claim(
    raw=b"",
    terms=Terms(algorithm="rsa-sha256", head_form="relaxed", body_form="relaxed", domain="", selector="", names=()),
    signature=b"",
    body_hash=b"",
)


@attrs.frozen(kw_only=True)
class Sealer:
    """`algorithm` is "rsa" or "ed25519"; `sign` makes the signature of the SHA-256 of what it gets."""

    domain: str
    selector: str
    algorithm: str
    sign: Callable[[bytes], bytes]


@attrs.frozen(kw_only=True)
class Findings:
    """What we said of a message when it came: the text after our authserv-id, and what it says of the chain."""

    results: str
    chain: Result


_CHAIN = re.compile(r"(?:^|;)\s*arc=(none|pass|fail)\b")


def own_findings(head: bytes, authserv_id: str) -> Findings | None:
    """What our own field says, the topmost that bears our id; None where there is none, or it says nothing of ARC."""
    for value in map(value_of, named_fields(head).get(authres.FIELD_NAME, ())):
        if authres.authserv_id(value).lower() != authserv_id.lower():
            continue
        results = value.decode("utf-8", "replace").partition(";")[2].strip()
        found = _CHAIN.search(re.sub(r'"(?:[^"\\]++|\\.)*+"', '""', results))
        return Findings(results=results, chain=Result(found[1])) if found is not None else None
    return None


def seal(head: bytes, digest: bytes, found: Findings, authserv_id: str, sealer: Sealer, now: int) -> bytes:
    """The three fields of the next set, to put on top; b"" where the chain takes no other one.

    `head` is the header section as it is sent, `digest` the SHA-256 of the body in relaxed form.
    """
    opened = Head(head)
    try:
        before = read_sets(opened)
    except BrokenChain:
        before = None
    instance = _next(opened, before, found.chain)
    if not instance:
        return b""
    results = f"ARC-Authentication-Results: i={instance}; {authserv_id};\r\n\t{_folded(found.results)}\r\n".encode()
    signature = _signature(opened, digest, instance, sealer, now)
    status = _status(before, found.chain)
    # RFC 8617 5.1.2: the seal of a broken chain covers its own set alone.
    covered = before if before and status != "fail" else ()
    return _sealed(covered, results, signature, instance, status, sealer, now) + signature + results


def _next(head: Head, before: tuple[Set, ...] | None, chain: Result) -> int:
    """The instance of the next set, 0 where there must be none."""
    if before is None:
        # Broken beyond order. Where a hop has said so already nothing is added, and otherwise it cannot be counted.
        return 0
    if (chain is Result.NONE) != (not before):
        return 0  # the fields are not those that were judged
    return len(before) + 1 if len(before) < MAX_SETS else 0


def _status(before: tuple[Set, ...] | None, chain: Result) -> str:
    return "none" if not before else chain.value


def _signature(head: Head, digest: bytes, instance: int, sealer: Sealer, now: int) -> bytes:
    names = [name for name in _SIGNED for _ in head.named.get(name, ())]
    if b"from" not in names:  # RFC 6376 5.4: it must be named, there or not
        names.insert(0, b"from")
    value = (
        f" i={instance}; a={sealer.algorithm}-sha256; c=relaxed/relaxed; d={sealer.domain};\r\n\ts={sealer.selector};"
        f" t={now}; bh={base64.b64encode(digest).decode('ascii')};\r\n\th={_list(names)};\r\n\tb="
    )
    field = b"ARC-Message-Signature:" + value.encode("ascii") + b"\r\n"
    return _with_signature(field, sealer.sign(head.signed(tuple(names), field, "relaxed")))


def _sealed(
    before: tuple[Set, ...], results: bytes, signature: bytes, instance: int, status: str, sealer: Sealer, now: int
) -> bytes:
    value = (
        f" i={instance}; a={sealer.algorithm}-sha256; t={now}; cv={status};\r\n"
        f"\td={sealer.domain}; s={sealer.selector};\r\n\tb="
    )
    field = b"ARC-Seal:" + value.encode("ascii") + b"\r\n"
    own = Set(
        instance=instance,
        results=results,
        signature=attrs.evolve(_BLANK, raw=signature),
        seal=attrs.evolve(_BLANK, raw=field),
        status=status,
    )
    return _with_signature(field, sealer.sign(sealed((*before, own))))


def _with_signature(field: bytes, signature: bytes) -> bytes:
    text = base64.b64encode(signature)
    lines = [text[start : start + _WIDTH] for start in range(0, len(text), _WIDTH)]
    return field.removesuffix(b"\r\n") + b"\r\n\t ".join(lines) + b"\r\n"


def _list(names: list[bytes]) -> str:
    """The names of h=, folded."""
    lines, line = [], ""
    for name in names:
        if line and len(line) + len(name) > _WIDTH - 4:
            lines.append(line)
            line = ""
        line += (":" if line or lines else "") + name.decode("ascii")
    return "\r\n\t ".join([*lines, line])


_WORD = re.compile(r'(?:[^\s"]|"(?:[^"\\]|\\.)*+")++', re.DOTALL)


def _folded(results: str) -> str:
    """One result on each line, as our own field has them, and long ones on several: no value is longer than a line."""
    lines: list[str] = []
    for word in _WORD.findall(results):
        if lines and not lines[-1].endswith(";") and len(lines[-1]) + len(word) < _WIDTH:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "\r\n\t".join(lines)
