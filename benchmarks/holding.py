"""A filter that holds everything, so that a benchmark of taking mail takes it and does nothing more."""

from zope.interface import implementer

from relaygw.core.session import Transaction
from relaygw.core.verdict import Action, Phase, Verdict
from relaygw.interfaces import IFilter, Options, Services


@implementer(IFilter)
class HoldAll:
    phases = frozenset({Phase.DATA})

    def __init__(self, options: Options, services: Services) -> None:
        """No options."""

    def check(self, phase: Phase, transaction: Transaction) -> Verdict:
        return Verdict(action=Action.HOLD, reason="a benchmark of taking mail")
