"""What routes may ask of findings: words that a filter can say. A slip of the pen would make a rule that never matches,
and mail that should be held would go on.
"""

from collections.abc import Iterator

from relaygw.config.problem import Fault
from relaygw.config.schema import Config
from relaygw.config.structure import listed, meant
from relaygw.core.arc.finding import Result as Arc
from relaygw.core.dkim.finding import Result as Dkim
from relaygw.core.dmarc.result import Result as Dmarc
from relaygw.core.iprev import IprevResult
from relaygw.core.spf.result import Result as Spf

WORDS = {
    **{
        method: frozenset(each.value for each in results) | {"temperror"}
        for method, results in (("spf", Spf), ("dkim", Dkim), ("dmarc", Dmarc), ("arc", Arc), ("iprev", IprevResult))
    },
    "dnswl": frozenset({"pass"}),
}
"""The results of each method that filters of ours find; one that breaks leaves a temperror."""

OURS = frozenset(
    {
        "arc", "dkim", "dmarc", "dnsbl", "greylist", "hello", "iprev", "loop", "null_sender", "rate", "size", "spf",
    }
)  # fmt: skip
"""Filters that say nothing else."""


def findings(config: Config) -> Iterator[Fault]:
    others = any(each.use not in OURS for each in config.filters)
    for place, route in enumerate(config.routes):
        for position, text in enumerate(route.match.finding):
            fault = _fault(text, others)
            if fault is not None:
                yield (("route", place, "match", "finding", position), *fault)


def _fault(text: str, others: bool) -> tuple[str, str] | None:
    """What is wrong with a finding, and what was probably meant; `others`: filters that are not ours may say more."""
    method, _, result = text.partition("=")
    known = WORDS.get(method)
    if known is None:
        message = f'"{text}": no filter in use finds anything called "{method}"'
        return None if others else (message, meant(method, WORDS) or f"known are {listed(sorted(WORDS))}")
    if result in known:
        return None
    return f'"{text}": the result of {method} is never "{result}"', meant(
        result, known
    ) or f"it is {listed(sorted(known))}"
