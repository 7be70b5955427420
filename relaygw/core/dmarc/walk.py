"""The DNS tree walk (RFC 9989 4.10): where a domain's policy stands, and which domain is its organizational domain.

A walk asks at most eight questions, whatever the length of the name. All walks of one message share a Walker, so that
a name is asked about once; and a walk goes only as far as somebody wants to know.
"""

import attrs

from relaygw.core.dmarc.record import Record, Suffix, is_record, read_record
from relaygw.core.question import Answer, AnswerStatus, Inquiry, Question

MAX_QUERIES = 8


class WalkFailed(Exception):
    """The DNS did not answer: nothing can be concluded. It never leaves this package."""


@attrs.frozen
class Found:
    """A DMARC policy record and the domain it was published for."""

    domain: str
    record: Record


def targets(domain: str) -> tuple[str, ...]:
    """The domains a walk asks about, in order (RFC 9989 4.10, steps 1, 3, 4 and 7)."""
    labels = domain.split(".")
    rest = labels[1:] if len(labels) < MAX_QUERIES else labels[-(MAX_QUERIES - 1) :]
    return (domain, *(".".join(rest[start:]) for start in range(len(rest))))


class Walker:
    """`queries` counts the questions asked for records."""

    def __init__(self) -> None:
        self.queries = 0
        self._records: dict[str, Record | None] = {}
        self._exists: set[str] = set()
        self._organizational: dict[str, str] = {}

    def record(self, domain: str) -> Inquiry[Record | None]:
        """The one DMARC record of a domain; None where there is none, or more than one (4.10, step 2)."""
        if domain in self._records:
            return self._records[domain]
        self.queries += 1
        name = f"_dmarc.{domain}"
        answer: Answer = yield Question(name, "TXT")
        if answer.status is AnswerStatus.FAILED:
            raise WalkFailed(f"looking up TXT of {name}: {answer.reason}")
        if answer.status is not AnswerStatus.NO_NAME:
            self._exists.add(domain)  # something below it exists, and so it does (RFC 8020)
        texts = [text for text in answer.records if isinstance(text, bytes) and is_record(text)]
        self._records[domain] = found = read_record(texts[0]) if len(texts) == 1 else None
        return found

    def policy(self, domain: str) -> Inquiry[Found | None]:
        """The record that applies to mail from a domain (RFC 9989 4.10.1)."""
        own = yield from self.record(domain)
        if own is not None:
            return Found(domain, own)
        organizational = yield from self.organizational(domain)
        inherited = yield from self.record(organizational)
        if inherited is not None:
            return Found(organizational, inherited)
        for parent in targets(domain)[1:]:
            record = yield from self.record(parent)
            if record is not None and record.suffix is Suffix.YES:
                return Found(parent, record)
        return None

    def organizational(self, domain: str) -> Inquiry[str]:
        """The organizational domain of a domain (RFC 9989 4.10.2)."""
        if domain not in self._organizational:
            self._organizational[domain] = yield from self._walk(domain)
        return self._organizational[domain]

    def known(self, domain: str) -> str:
        """The organizational domain where a walk has found it, "" otherwise."""
        return self._organizational.get(domain, "")

    def _walk(self, domain: str) -> Inquiry[str]:
        shortest = domain
        for target in targets(domain):
            record = yield from self.record(target)
            if record is None:
                continue
            if record.suffix is Suffix.NO:
                return target
            if record.suffix is Suffix.YES:
                # The start itself may be a public suffix that sends mail: then the walk ends, and it is its own.
                return target if target == domain else _below(domain, target)
            shortest = target
        return shortest

    def exists(self, domain: str) -> Inquiry[bool]:
        """Whether a domain exists at all, with whatever records (RFC 9989 3.2, RFC 8020)."""
        if domain in self._exists:
            return True
        answer = yield Question(domain, "A")
        if answer.status is AnswerStatus.FAILED:
            raise WalkFailed(f"looking up whether {domain} exists: {answer.reason}")
        return answer.status is not AnswerStatus.NO_NAME


def _below(domain: str, parent: str) -> str:
    """The domain one label below `parent` on the way to `domain`."""
    labels = domain.split(".")
    return ".".join(labels[-(parent.count(".") + 2) :])
