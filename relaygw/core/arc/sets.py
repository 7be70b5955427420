"""The ARC sets of a header section (RFC 8617 4.2): read strictly, one of each field for every instance from 1 on."""

import re
from collections.abc import Mapping, Sequence

import attrs

from relaygw.core.authres import COMMENT
from relaygw.core.dkim.claim import Claim, Reader, Terms, Unreadable
from relaygw.core.dkim.head import Head
from relaygw.core.headers import value_of

RESULTS, SIGNATURE, SEAL = b"arc-authentication-results", b"arc-message-signature", b"arc-seal"
MAX_SETS = 50  # RFC 8617 4.2.1

MAX_FOREIGN = 20
"""Seals and signatures that are not all ASCII: names in other scripts take time to read, and few hops write them so."""

_SPACE = r"(?:[ \t\r\n]|" + COMMENT + r")*+"
_OPENING = re.compile(rf"{_SPACE}i{_SPACE}={_SPACE}([0-9]{{1,2}}){_SPACE};", re.DOTALL)  # RFC 8617 4.2.1
_NUMBER = re.compile(r"[0-9]{1,2}\Z")


class BrokenChain(Exception):
    """The chain fails; the message says why (RFC 8617 5.2). `temporary`: nothing is known but that the DNS failed."""

    def __init__(self, reason: str, *, temporary: bool = False) -> None:
        super().__init__(reason)
        self.temporary = temporary


@attrs.frozen(kw_only=True)
class Set:
    """One hop: `results` the whole field, `signature` and `seal` as claims (of a seal only its own tags count),
    `status` its cv=, `said` what its results are, after the instance."""

    instance: int
    results: bytes
    signature: Claim
    seal: Claim
    status: str
    said: str = ""


def read_sets(head: Head) -> tuple[Set, ...]:
    """All sets in order of instance, () where there are none; raises BrokenChain."""
    named = {name: head.named.get(name, ()) for name in (RESULTS, SIGNATURE, SEAL)}
    if not any(named.values()):
        return ()
    if max(map(len, named.values())) > MAX_SETS:
        raise BrokenChain(f"more than {MAX_SETS} sets")
    if sum(not field.isascii() for name in (SIGNATURE, SEAL) for field in named[name]) > MAX_FOREIGN:
        raise BrokenChain(f"more than {MAX_FOREIGN} seals and signatures that are not ASCII")
    placed = {name: _by_instance(name, fields) for name, fields in named.items()}
    instances = sorted(set().union(*placed.values()))
    if instances != list(range(1, len(instances) + 1)):
        raise BrokenChain("the instances are not 1, 2, 3 …")
    sets = tuple(_set(instance, placed) for instance in instances)
    for each in sets:
        _check_status(each, last=each is sets[-1])
    return sets


def _by_instance(name: bytes, fields: Sequence[bytes]) -> dict[int, bytes]:
    placed: dict[int, bytes] = {}
    for field in fields:
        instance = _instance(name, field)
        if instance in placed:
            raise BrokenChain(f"two {_shown(name)} fields of instance {instance}")
        placed[instance] = field
    return placed


def _instance(name: bytes, field: bytes) -> int:
    if name == RESULTS:
        found = _OPENING.match(value_of(field).decode("utf-8", "replace"))
        number = int(found[1]) if found is not None else 0
    else:
        text = _reader(name, field).get("i") or ""
        number = int(text) if _NUMBER.match(text) else 0
    if not 1 <= number <= MAX_SETS:
        raise BrokenChain(f"{_shown(name)} without an instance from 1 to {MAX_SETS}")
    return number


def _reader(name: bytes, field: bytes) -> Reader:
    try:
        return Reader.of(field)
    except Unreadable as error:
        raise BrokenChain(f"{_shown(name)}: {error.reason}") from None


def _set(instance: int, placed: Mapping[bytes, Mapping[int, bytes]]) -> Set:
    missing = [_shown(name) for name, fields in placed.items() if instance not in fields]
    if missing:
        raise BrokenChain(f"instance {instance} has no {missing[0]}")
    results, signature, seal = (placed[name][instance] for name in (RESULTS, SIGNATURE, SEAL))
    try:
        status = (Reader.of(seal).get("cv") or "").lower()
        return Set(
            instance=instance,
            results=results,
            signature=_signature(signature),
            seal=_seal(seal),
            status=status,
            said=_OPENING.sub("", value_of(results).decode("utf-8", "replace"), count=1).strip(),
        )
    except Unreadable as error:
        raise BrokenChain(f"instance {instance}: {error.reason}") from None


def _signature(field: bytes) -> Claim:
    """ARC-Message-Signature (RFC 8617 4.1.2): a DKIM signature without v=, whose i= is the instance."""
    reader = Reader.of(field)
    names = reader.names()
    if SEAL in names:
        raise reader.unreadable("ARC-Seal is signed by a message signature")
    head_form, body_form = reader.forms()
    terms = Terms(
        algorithm=_algorithm(reader),
        head_form=head_form,
        body_form=body_form,
        domain=(domain := reader.signing_domain()),
        selector=reader.domain("s"),
        names=names,
        identity_domain=domain,
    )
    return Claim(
        raw=field,
        terms=terms,
        signature=reader.base64("b"),
        body_hash=reader.base64("bh"),
        length=reader.number("l"),
        expires=reader.time("x"),
    )


def _seal(field: bytes) -> Claim:
    """ARC-Seal (RFC 8617 4.1.3): it signs the sets and nothing else, so it has no h=, bh= or forms."""
    reader = Reader.of(field)
    if reader.get("h") is not None:
        raise reader.unreadable("ARC-Seal has h=")
    domain = reader.signing_domain()
    terms = Terms(
        algorithm=_algorithm(reader),
        head_form="relaxed",
        body_form="relaxed",
        domain=domain,
        selector=reader.domain("s"),
        names=(),
        identity_domain=domain,
    )
    return Claim(raw=field, terms=terms, signature=reader.base64("b"), body_hash=b"")


def _algorithm(reader: Reader) -> str:
    found = reader.algorithm()
    if found == "rsa-sha1":
        raise reader.unreadable("rsa-sha1 proves nothing any more")
    return found


def _check_status(each: Set, *, last: bool) -> None:
    """RFC 8617 5.2, steps 2 and 3."""
    if last and each.status == "fail":
        raise BrokenChain(f"{each.seal.terms.domain} found the chain broken")
    wanted = "none" if each.instance == 1 else "pass"
    if each.status != wanted:
        raise BrokenChain(f"instance {each.instance} has cv={each.status[:20]}, not {wanted}")


def _shown(name: bytes) -> str:
    return {RESULTS: "ARC-Authentication-Results", SIGNATURE: "ARC-Message-Signature", SEAL: "ARC-Seal"}[name]
