"""Whom a filter in use is for, and whether it knows that what it says counts for nothing."""

import attrs
import pytest
from zope.interface import implementer

from relaygw.config.schema import FilterConfig
from relaygw.core.session import Role, Transaction
from relaygw.core.verdict import PASS, Phase, Verdict
from relaygw.filters.uses import Mode, build_use
from relaygw.interfaces import IFilter, Options, Services
from relaygw.testing.filters import make_services, make_session

QUIET = f"{__name__}:Quiet"


@implementer(IFilter)
class Quiet:
    """Remembers what it was made with."""

    phases = frozenset({Phase.MAIL})

    def __init__(self, options: Options, services: Services) -> None:
        self.services = services

    def check(self, phase: Phase, transaction: Transaction) -> Verdict:
        return PASS


@pytest.mark.parametrize(
    ("listeners", "listener", "role", "lmtp", "wanted"),
    [
        ((), "mx", Role.MX, False, True),
        ((), "mx", Role.MX, True, False),
        ((), "submission", Role.SUBMISSION, False, False),
        (("lmtp",), "lmtp", Role.MX, True, True),
        (("lmtp",), "mx", Role.MX, False, False),
    ],
)
def test_whom_a_filter_is_for(listeners: tuple[str, ...], listener: str, role: Role, lmtp: bool, wanted: bool) -> None:
    """Over LMTP comes what a mail server of ours has looked at: it is only asked where it was named."""
    use = build_use(FilterConfig(use=QUIET, listeners=listeners), make_services())
    session = attrs.evolve(make_session(), listener=listener, role=role, lmtp=lmtp)
    assert use.wants(Phase.MAIL, session) is wanted
    assert not use.wants(Phase.DATA, session)


@pytest.mark.parametrize(("mode", "shadow"), [("enforce", False), ("shadow", True)])
def test_a_filter_knows_whether_what_it_says_counts(mode: str, shadow: bool) -> None:
    use = build_use(FilterConfig(use=QUIET, mode=mode), make_services())  # type: ignore[arg-type]  # a word
    assert isinstance(use.filter, Quiet)
    assert (use.filter.services.shadow, use.mode, use.name) == (shadow, Mode(mode), QUIET)
