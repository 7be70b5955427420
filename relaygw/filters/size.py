"""The filter `size`: refuses messages above a limit of its own, as soon as the size is declared or counted."""

import attrs
from zope.interface import implementer

from relaygw.config.kinds import Size
from relaygw.config.schema import LimitsConfig
from relaygw.core.screening import judge_size
from relaygw.core.session import Transaction
from relaygw.core.verdict import PASS, Phase, Verdict
from relaygw.interfaces import IFilter, Options, Services
from relaygw.plugins import structure_options


@attrs.frozen(kw_only=True)
class SizeOptions:
    """`limit` in octets, "10M" and the like; by default `limits.message_size`, which holds besides in any case."""

    limit: Size | None = None


@implementer(IFilter)
class SizeFilter:
    """In phase mail the declared SIZE is judged, in phase data the content."""

    phases = frozenset({Phase.MAIL, Phase.DATA})

    def __init__(self, options: Options, services: Services) -> None:
        given = structure_options(SizeOptions, options).limit
        limits = services.settings.limits if services.settings is not None else LimitsConfig()
        self._limit = given if given is not None else limits.message_size

    def check(self, phase: Phase, transaction: Transaction) -> Verdict:
        if phase is Phase.MAIL:
            return judge_size(transaction.envelope.size, self._limit)
        return judge_size(transaction.content.size, self._limit) if transaction.content is not None else PASS
