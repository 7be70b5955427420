"""Any SPF record and any sender give a finding within the RFC's limits, and fields that stay in their lines."""

import ipaddress

from relaygw.core.question import Answer, AnswerStatus, Exchange, Question, settle
from relaygw.core.spf import Identity, check_host, received_spf
from relaygw.core.spf.check import MAX_EXPLANATION, MAX_LOOKUPS

SEEDS = (
    b"user\nv=spf1 ip4:192.0.2.1/24 ip6:::1/64 a mx:x.test/24//64 include:%{d2} -all",
    b"a-b.c\nv=spf1 exists:%{l1r-}.%{ir}.%{v}.%{h}.test ptr ?all exp=%{S}.test",
    b"u\nv=spf1 redirect=_spf.%{o} unknown=%{t}",
    b"postmaster\nfor %{c} by %{R} at %{t} of %{p}",
)
CLIENTS = (ipaddress.ip_address("192.0.2.9"), ipaddress.ip_address("2001:db8::9"))


def one_input(data: bytes) -> None:
    local, _, record = data.partition(b"\n")
    for client in CLIENTS:
        asked = 0

        def answer(question: Question) -> Answer:
            nonlocal asked
            asked += 1
            found: dict[str, tuple[object, ...]] = {
                "TXT": (record,), "MX": (Exchange(1, "mx.test"),), "PTR": ("h.test",),
                "A": ("192.0.2.8",), "AAAA": ("2001:db8::8",),
            }  # fmt: skip
            return Answer(status=AnswerStatus.FOUND, records=found[question.type])  # type: ignore[arg-type]

        finding = settle(
            check_host(
                client=client,
                identity=Identity.MAIL_FROM,
                domain="sender.test",
                local=local.decode("utf-8", "replace"),
                hello="h.test",
                receiver="mx.test",
                now=1e9,
            ),
            answer,
        )
        assert finding.lookups <= MAX_LOOKUPS + 1
        assert asked < 100
        assert len(finding.explanation) <= MAX_EXPLANATION
        assert finding.explanation.isascii()
        assert finding.explanation.isprintable()
        field = received_spf(finding, "mx.test")
        assert field.count(b"\n") == field.count(b"\r\n\t") + 1
