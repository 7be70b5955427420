"""The filters `size` and `loop`: at the limit and one beyond it, declared and counted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaygw.config.schema import Config, LimitsConfig
from relaygw.core.content import BytesContent
from relaygw.core.headers import count
from relaygw.core.reply import Reply
from relaygw.core.screening import judge_hops
from relaygw.core.verdict import PASS, Action, Phase
from relaygw.filters.loop import LoopFilter
from relaygw.filters.size import SizeFilter
from relaygw.plugins import OptionsError
from relaygw.testing.filters import check_filter, make_services, make_transaction, run_filter

SERVICES = make_services(
    settings=Config(hostname="h.test", state="", limits=LimitsConfig(message_size=1000, received_fields=3))
)


def test_they_pass_the_suite_for_filters() -> None:
    check_filter(SizeFilter({"limit": "10K"}, SERVICES))
    check_filter(LoopFilter({"limit": 3}, SERVICES))


@pytest.mark.parametrize(("options", "limit"), [({"limit": "1K"}, 1024), ({}, 1000)])
def test_size_at_the_limit_and_one_octet_more(options: dict[str, str], limit: int) -> None:
    size = SizeFilter(options, SERVICES)
    for octets, action in ((limit, Action.PASS), (limit + 1, Action.REJECT)):
        assert run_filter(size, Phase.MAIL, make_transaction(size=octets)).action is action
        assert run_filter(size, Phase.DATA, make_transaction(content=b"x" * octets)).action is action
    reply = run_filter(size, Phase.MAIL, make_transaction(size=limit + 1)).reply
    assert reply == Reply(552, "5.3.4", f"Message too large: at most {limit} octets are taken here")


@pytest.mark.parametrize(("options", "limit"), [({"limit": 5}, 5), ({}, 3)])
def test_hops_at_the_limit_and_one_more(options: dict[str, int], limit: int) -> None:
    loop = LoopFilter(options, SERVICES)
    for hops, action in ((limit, Action.PASS), (limit + 1, Action.REJECT)):
        content = b"Received: from a\r\n\tby b\r\n" * hops + b"\r\nReceived: in the body\r\n" * 9
        verdict = run_filter(loop, Phase.DATA, make_transaction(content=content))
        assert verdict.action is action
    assert verdict.reply == Reply(554, "5.4.6", "Too many hops: this message loops")
    assert verdict.reason == f"{limit + 1} Received fields, limit {limit}"


def test_only_received_fields_count() -> None:
    head = b"Received-SPF: pass\r\nX-Received: x\r\nSubject: x\r\n\treceived: y\r\nRECEIVED : z\r\n"
    assert judge_hops(head, 1) is PASS
    assert judge_hops(head + b"received:\r\n", 1).action is Action.REJECT


@given(st.lists(st.sampled_from([b"Received: a\r\n", b"received :b\r\n", b"Received-SPF: x\r\n", b" fold\r\n", b"\r"])))
def test_the_quick_count_never_misses_a_hop(lines: list[bytes]) -> None:
    head = b"".join(lines)
    for limit in range(3):
        assert (judge_hops(head, limit) is PASS) is (count(head, b"received") <= limit)


def test_one_hop_may_be_the_most_and_none_may_not() -> None:
    assert run_filter(LoopFilter({"limit": 1}, SERVICES), Phase.DATA, make_transaction(content=b"\r\n")) is PASS
    words = "option 'limit': 0 is too small; allowed is a whole number, 1 or more"
    with pytest.raises(OptionsError, match=words):
        LoopFilter({"limit": 0}, SERVICES)


@pytest.mark.parametrize("options", [{"limit": 0}, {"limit": -1}, {"limit": "many"}, {"limits": 3}])
def test_options_that_mean_nothing_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(OptionsError):
        LoopFilter(options, SERVICES)


def test_content_is_read_where_it_begins() -> None:
    assert BytesContent(b"Received: x\r\n\r\nbody").head == b"Received: x\r\n"
