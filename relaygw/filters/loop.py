"""The filter `loop`: refuses messages that carry more Received fields than any honest way is long."""

from typing import Any

import attrs
from zope.interface import implementer

from relaygw.config.schema import LimitsConfig
from relaygw.core.screening import judge_hops
from relaygw.core.session import Transaction
from relaygw.core.verdict import PASS, Phase, Verdict
from relaygw.interfaces import IFilter, Options, Services
from relaygw.plugins import structure_options


def _positive(_: object, attribute: Any, value: int | None) -> None:
    if value is not None and value < 1:
        raise ValueError(f"option 'limit': {value} is too small; allowed is a whole number, 1 or more")


@attrs.frozen(kw_only=True)
class LoopOptions:
    """`limit` is how many Received fields may be there on arrival; by default `limits.received_fields`."""

    limit: int | None = attrs.field(default=None, validator=_positive)


@implementer(IFilter)
class LoopFilter:
    """Counts in phase data, in the header section alone."""

    phases = frozenset({Phase.DATA})

    def __init__(self, options: Options, services: Services) -> None:
        given = structure_options(LoopOptions, options).limit
        limits = services.settings.limits if services.settings is not None else LimitsConfig()
        self._limit = given or limits.received_fields

    def check(self, phase: Phase, transaction: Transaction) -> Verdict:
        return judge_hops(transaction.content.head, self._limit) if transaction.content is not None else PASS
