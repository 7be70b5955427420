"""One thing found out about the DNS: how bad, about what, what stands there, what should, and what to publish."""

import enum
from collections.abc import Iterable

import attrs

from relaygw.core.question import Answer, AnswerStatus, Data, Exchange, Tlsa


class Level(enum.Enum):
    """ERROR: mail will be lost or refused. WARNING: it works, and could be better. NOTE: nothing to do."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


@attrs.frozen(kw_only=True)
class Published:
    """One record for the zone: `name` without the final dot, `value` as the zone file has it, TXT without quotes."""

    name: str
    type: str
    value: str


@attrs.frozen(kw_only=True)
class Finding:
    """`check` is the kind (mx, address, ptr, spf, dkim, dmarc, mta-sts, tlsrpt, tlsa); `about` the domain or host.

    `name` and `type` are what was asked, of a policy on the web its address and HTTPS; `found` and `expected` are data
    as text; `publish` makes it right. Where the DNS failed, it was not `answered`: then nothing is known of what stands
    there.
    """

    level: Level
    check: str
    about: str
    name: str
    type: str
    message: str
    found: tuple[str, ...] = ()
    expected: str = ""
    publish: tuple[Published, ...] = ()
    answered: bool = True


@attrs.frozen(kw_only=True)
class Subject:
    """What a finding will be about, before it is known how it looks."""

    check: str
    about: str
    name: str
    type: str
    found: tuple[str, ...] = ()
    expected: str = ""

    def ok(self, message: str) -> Finding:
        return self._finding(Level.OK, message, ())

    def note(self, message: str, *publish: Published) -> Finding:
        return self._finding(Level.NOTE, message, publish)

    def warning(self, message: str, *publish: Published) -> Finding:
        return self._finding(Level.WARNING, message, publish)

    def error(self, message: str, *publish: Published) -> Finding:
        return self._finding(Level.ERROR, message, publish)

    def unknown(self, answer: Answer) -> Finding:
        """The DNS failed: nothing is known, and others will not know it either."""
        return self.unanswered(f"the DNS does not answer: {answer.reason or 'no reason given'}")

    def unanswered(self, message: str) -> Finding:
        """The same in other words."""
        return attrs.evolve(self.error(message), answered=False)

    def seen(self, records: Iterable[Data], expected: str = "") -> "Subject":
        return attrs.evolve(self, found=tuple(map(text_of, records)), expected=expected or self.expected)

    def wanting(self, expected: str) -> "Subject":
        return attrs.evolve(self, expected=expected)

    def record(self, value: str) -> Published:
        """The record of this name and type with this value."""
        return Published(name=self.name, type=self.type, value=value)

    def missing(self, value: str) -> tuple[Published, ...]:
        """The record, unless it is what was found: then something else is wrong."""
        return () if value in self.found else (self.record(value),)

    def _finding(self, level: Level, message: str, publish: tuple[Published, ...]) -> Finding:
        return Finding(
            level=level,
            check=self.check,
            about=self.about,
            name=self.name,
            type=self.type,
            message=message,
            found=self.found,
            expected=self.expected,
            publish=publish,
        )


def text_of(data: Data) -> str:
    """Data of one record as people write it; octets that are no text become \\x.. escapes."""
    if isinstance(data, Exchange):
        return f"{data.preference} {data.host}."
    if isinstance(data, Tlsa):
        return f"{data.usage} {data.selector} {data.matching} {data.data.hex()}"
    return data.decode("utf-8", "backslashreplace") if isinstance(data, bytes) else data


def failed(answer: Answer) -> bool:
    return answer.status is AnswerStatus.FAILED


def texts_of(answer: Answer) -> list[bytes]:
    """The TXT records of an answer."""
    return [record for record in answer.records if isinstance(record, bytes)]
