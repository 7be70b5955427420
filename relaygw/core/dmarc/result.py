"""The outcome of a DMARC evaluation as a value: result, policy, and how each identifier aligned."""

import attrs

from relaygw.core.dmarc.record import Policy, Record
from relaygw.core.words import Word


class Result(Word):
    """RFC 8601 2.7, as RFC 9989 10.2 registers them for DMARC."""

    NONE = "none"
    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


@attrs.frozen(kw_only=True)
class Identifier:
    """What SPF or DKIM authenticated, or tried to: `result` is theirs. `aligned` whether it fits the author's domain;
    it counts for DMARC where the result is pass, too."""

    method: str
    domain: str
    result: str
    aligned: bool
    selector: str = ""

    @property
    def passed(self) -> bool:
        return self.aligned and self.result == "pass"


@attrs.frozen(kw_only=True)
class Evaluation:
    """`author` is the domain in From, "" where none was found. `record` was published for `policy_domain`, its tag
    `tag` (p, sp or np) is `published`; `policy` is what is to be applied to a message that fails, t= considered.

    `reason` says in our words why the result is not pass. `queries` is how many names were asked for records.
    `crowded`: From holds more than is looked at, so that whose name it bears cannot be told. `others` are further
    domains in From whose owners ask for something, `fields` is how many From fields there are.
    """

    result: Result
    author: str = ""
    organizational: str = ""
    policy_domain: str = ""
    record: Record | None = None
    tag: str = ""
    published: Policy = Policy.NONE
    policy: Policy = Policy.NONE
    identifiers: tuple[Identifier, ...] = ()
    reason: str = ""
    queries: int = 0
    crowded: bool = False
    others: tuple[str, ...] = ()
    fields: int = 1

    def passed(self, method: str) -> bool:
        """Whether this method ("spf", "dkim") gave an aligned pass: what aggregate reports want to know."""
        return any(each.passed for each in self.identifiers if each.method == method)

    @property
    def asks_for_nothing(self) -> bool:
        """Whether the policy is "none" in any case: whether the domain exists or not need not be known."""
        record = self.record
        if record is None or record.flaw:  # RFC 9989 4.10.1: as if p=none
            return record is not None
        asked = {record.policy or Policy.NONE}
        if self.author != self.policy_domain:
            below = record.subdomains or record.policy or Policy.NONE
            asked = {below, record.absent or below}
        return all((each.milder if record.testing else each) is Policy.NONE for each in asked)
