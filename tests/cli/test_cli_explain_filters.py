"""`relaygw explain FILE` judges a message by the filters themselves: their options, order, modes and actions."""

from pathlib import Path
from typing import Any

import pytest

from relaygw.cli.answer import UsageError
from relaygw.cli.direct import run_now
from relaygw.cli.explain_filters import Judgement, judge
from relaygw.config.schema import Config, FilterConfig
from relaygw.control.shapes import Json
from relaygw.core.address import parse_address
from relaygw.core.content import BytesContent
from relaygw.core.envelope import Envelope, Recipient
from relaygw.core.question import Answer, Question
from relaygw.core.session import Role
from relaygw.dns import FixedResolver
from relaygw.testing.filters import make_services, make_session

ZONE = FixedResolver(
    {
        "strict.test": {"TXT": [b"v=spf1 -all"]},
        "_dmarc.forged.test": {"TXT": [b"v=DMARC1; p=reject"]},
        "_dmarc.doubtful.test": {"TXT": [b"v=DMARC1; p=quarantine"]},
    }
)
TO = Envelope(sender=None, recipients=(Recipient(address=parse_address("b@here.test")),))


def use(which: str, **changes: Any) -> FilterConfig:
    return FilterConfig(use=which, **changes)


UNSIGNED = "no signature of this message is good enough: none"
SHIPPED = (use("rate"), use("spf"), use("dkim"), use("dmarc"))


class Broken:
    """A resolver with a bug."""

    def ask(self, question: Question) -> Answer:
        raise LookupError("a bug")


class Asked:
    """A filter of somebody's, which may remember what it is asked."""

    def __init__(self, options: Any, services: Any) -> None:
        pytest.fail("it is made")


def asked(
    tmp_path: Path,
    filters: tuple[FilterConfig, ...],
    sender: str,
    author: str = "a@none.test",
    resolver: Any = ZONE,
    **session: Any,
) -> tuple[Judgement, list[Json]]:
    steps: list[Json] = []
    config = Config(hostname="here.test", state=str(tmp_path), filters=filters)
    envelope = Envelope(sender=parse_address(sender), recipients=TO.recipients)
    given = make_session(**{"client": "192.0.2.1", "hello": "h.test", "role": Role.MX, "listener": "mx", **session})
    services = make_services(resolver=resolver, state=str(tmp_path), settings=config)
    content = BytesContent(f"From: {author}\r\n\r\nx\r\n".encode())
    found = run_now(judge(given, envelope, content, config, services, steps))
    assert not list(tmp_path.iterdir()), "nothing is kept of it"
    return found, steps


def test_what_spf_refuses_comes_no_further(tmp_path: Path) -> None:
    found, steps = asked(tmp_path, SHIPPED, "a@strict.test", "a@forged.test")
    assert found == Judgement(
        action="refuse", reason="spf: 550 5.7.23 SPF MAIL FROM check: fail for strict.test from 192.0.2.1"
    )
    assert [(step["step"], step["matched"]) for step in steps] == [
        ("filter rate", False),
        ("filter spf", True),
        ("filter dkim", False),
        ("filter dmarc", False),
    ]
    assert steps[0]["why"] == "it is not asked here"
    assert steps[1]["why"].endswith("mailfrom strict.test: fail (-all); reject")
    assert steps[3]["why"] == "it says nothing, or comes after spf"


def test_dmarc_takes_what_was_found_before_it(tmp_path: Path) -> None:
    found, _ = asked(tmp_path, SHIPPED, "a@none.test", "a@forged.test")
    assert (found.action, found.findings) == ("refuse", ())
    assert found.reason == "dmarc: 550 5.7.1 DMARC: this message is not from forged.test, whose policy is reject"
    found, _ = asked(tmp_path, SHIPPED, "a@none.test", "a@doubtful.test")
    assert (found.action, found.quarantined) == ("", True)
    assert found.held.startswith("quarantine: dmarc doubtful.test: fail")
    assert found.findings == ("spf=none", "dkim=none", "dmarc=fail")


@pytest.mark.parametrize("session", [{"trusted": True}, {"login": "alice"}, {"role": Role.SUBMISSION}])
def test_who_is_not_judged_by_the_service_is_not_judged_here(tmp_path: Path, session: dict[str, Any]) -> None:
    found, steps = asked(tmp_path, SHIPPED, "a@strict.test", "a@forged.test", **session)
    assert found == Judgement()
    assert not any(step["matched"] for step in steps)
    assert {step["why"] for step in steps if step["step"] != "filter rate"} <= {"it says nothing of such a client"}


def test_a_listener_has_its_own_filters(tmp_path: Path) -> None:
    filters = (use("spf", listeners=("other",)), use("dkim", listeners=("mx",)))
    found, steps = asked(tmp_path, filters, "a@strict.test")
    assert (found.findings, [step["step"] for step in steps]) == (("dkim=none",), ["filter dkim"])
    assert asked(tmp_path, filters[1:], "a@strict.test", lmtp=True)[0].findings == ("dkim=none",)
    assert asked(tmp_path, (use("dkim"),), "a@strict.test", lmtp=True) == (Judgement(), [])


def test_a_filter_in_shadow_mode_is_told_and_has_no_effect(tmp_path: Path) -> None:
    found, steps = asked(tmp_path, (use("spf", mode="shadow", name="trial"),), "a@strict.test")
    assert found == Judgement()
    [step] = steps
    assert step["step"] == "filter trial"
    assert step["why"].endswith("reject, in shadow mode, without effect")


@pytest.mark.parametrize(
    ("action", "wanted"),
    [
        ("pass", Judgement(findings=("dkim=none",))),
        ("defer", Judgement(action="defer", reason=f"dkim: 451 4.7.20 DKIM: {UNSIGNED}")),
        ("discard", Judgement(action="discard", reason="dkim: dkim no signature")),
        ("hold", Judgement(held="dkim no signature", findings=("dkim=none",))),
    ],
)  # fmt: skip
def test_every_action_of_a_filter_is_told(tmp_path: Path, action: str, wanted: Judgement) -> None:
    assert asked(tmp_path, (use("dkim", options={"actions": {"none": action}}),), "a@none.test")[0] == wanted


def test_each_check_of_the_sender_is_asked_and_what_may_remember_is_not(tmp_path: Path) -> None:
    filters = tuple(use(name) for name in ("spf", "dkim", "arc", "iprev", "dmarc", f"{__name__}:Asked"))
    found, steps = asked(tmp_path, filters, "a@none.test")
    assert found.findings == ("spf=none", "iprev=permerror", "dkim=none", "arc=none", "dmarc=none")
    assert [step["why"] for step in steps[1:]] == [
        "dkim no signature",
        "arc none",
        "iprev permerror: 192.0.2.1 has no name",
        "dmarc none.test: none; no DMARC record applies",
        "it is not asked here",
    ]


@pytest.mark.parametrize(
    ("on_error", "wanted"),
    [
        ("defer", Judgement(action="defer", reason="spf: 451 4.3.0 Temporary failure, try again")),
        ("skip", Judgement(findings=("spf=temperror",))),
    ],
)
def test_a_filter_that_breaks_is_told_with_what_that_means(tmp_path: Path, on_error: str, wanted: Judgement) -> None:
    found, steps = asked(tmp_path, (use("spf", on_error=on_error),), "a@none.test", resolver=Broken())
    assert found == wanted
    assert steps == [{"step": "filter spf", "matched": True, "why": f"it fails ({on_error}): LookupError: a bug"}]


def test_a_filter_that_cannot_be_made_is_the_answer(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="softfai"):
        asked(tmp_path, (use("spf", options={"mail_from": {"softfai": "pass"}}),), "a@none.test")
