"""What is kept of an evaluation so that aggregate reports can be made from it (RFC 9990 3.1): one plain mapping."""

import enum
from typing import Any

import attrs

from relaygw.core import dkim, spf
from relaygw.core.dmarc.record import Record
from relaygw.core.dmarc.result import Evaluation


class OverrideType(enum.Enum):
    """Why something else was done than the owner of the domain asked for (RFC 9990 3.1.1.12)."""

    LOCAL_POLICY = "local_policy"
    TRUSTED_FORWARDER = "trusted_forwarder"
    POLICY_TEST_MODE = "policy_test_mode"


@attrs.frozen
class Override:
    type: OverrideType
    comment: str = ""


@attrs.frozen(kw_only=True)
class Circumstances:
    """What belongs to a report besides the evaluation. `disposition` is what was done: none, pass, quarantine or reject
    (RFC 9990)."""

    time: float
    queue_id: str
    client: str
    envelope_from: str
    envelope_to: tuple[str, ...]
    disposition: str
    overrides: tuple[Override, ...] = ()


def entry(
    evaluation: Evaluation, around: Circumstances, spf_finding: spf.Finding | None, signatures: dkim.Findings
) -> dict[str, Any]:
    """The mapping; it holds JSON's own types only. Call it where `evaluation.record` is not None."""
    assert evaluation.record is not None
    return {
        "time": round(around.time, 3),
        "queue_id": around.queue_id,
        "source_ip": around.client,
        "header_from": evaluation.author,
        "envelope_from": around.envelope_from,
        "envelope_to": sorted(set(around.envelope_to)),
        "result": evaluation.result.value,
        "reason": evaluation.reason,
        "policy_published": _published(evaluation, evaluation.record),
        "errors": [evaluation.record.flaw] if evaluation.record.flaw else [],
        "policy_evaluated": {
            "disposition": around.disposition,
            "dkim": _word(evaluation.passed("dkim")),
            "spf": _word(evaluation.passed("spf")),
            "reasons": [{"type": each.type.value, "comment": each.comment} for each in around.overrides],
        },
        "dkim": [_signature(each) for each in signatures.signatures if each.domain],
        "spf": [_spf(spf_finding)] if spf_finding is not None else [],
    }


def _word(passed: bool) -> str:
    return "pass" if passed else "fail"


def _published(evaluation: Evaluation, record: Record) -> dict[str, Any]:
    return {
        "domain": evaluation.policy_domain,
        "p": record.policy.value if record.policy is not None else "none",
        "sp": record.subdomains.value if record.subdomains is not None else None,
        "np": record.absent.value if record.absent is not None else None,
        "adkim": "s" if record.strict_dkim else "r",
        "aspf": "s" if record.strict_spf else "r",
        "testing": "y" if record.testing else "n",
        "discovery_method": "treewalk",
        "fo": ":".join(record.failure_options),
        "rua": list(record.reports),
        "ruf": list(record.failure_reports),
    }


def _signature(finding: dkim.Finding) -> dict[str, str]:
    return {
        "domain": finding.domain,
        "selector": finding.selector,
        "result": finding.result.value,
        "human_result": finding.reason,
    }


def _spf(finding: spf.Finding) -> dict[str, str]:
    """RFC 9990 3.1.1 knows only the MAIL FROM identity, which is postmaster's at HELO where the reverse-path is null
    (RFC 7208 2.4)."""
    return {
        "domain": finding.domain,
        "scope": "mfrom",
        "result": finding.result.value,
        "human_result": finding.reason,
    }
