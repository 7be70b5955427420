"""Forward-confirmed reverse DNS (RFC 8601 3, "iprev") as an inquiry: does one of the client's names lead back to it?

Bounded by MAX_NAMES questions for names; time is bounded by whoever runs the inquiry. Every failure is a Finding.
"""

import enum
import ipaddress
from itertools import islice
from typing import TypeGuard

import attrs

from relaygw.core.client import IPAddress
from relaygw.core.question import Answer, AnswerStatus, Inquiry, Question
from relaygw.core.verdict import AuthResult

MAX_NAMES = 10
"""Names of one address that are looked at (RFC 8601 3: limited, as in RFC 7208 4.6.4)."""
MAX_ADDRESSES = 200
"""Addresses of one name that are compared: the client chooses its names, and they may have any number."""
_SHOWN = 5
_MAX_REASON = 300


class IprevResult(enum.Enum):
    """RFC 8601 2.7.3."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


@attrs.frozen(kw_only=True)
class IprevFinding:
    """`name` is the one that leads back to the client, "" unless the result is PASS; `names` those it claims to have.

    `reason` says in our words why the result is another one.
    """

    result: IprevResult
    client: IPAddress
    name: str = ""
    names: tuple[str, ...] = ()
    reason: str = ""


def check_iprev(client: IPAddress) -> Inquiry[IprevFinding]:
    """PERMERROR where the address has no name, FAIL where none leads back, TEMPERROR where that cannot be told now."""
    answer = yield Question(client.reverse_pointer, "PTR")
    if answer.status is AnswerStatus.FAILED:
        return _finding(client, IprevResult.TEMPERROR, reason=f"looking up the name of {client}: {answer.reason}")
    names = tuple(dict.fromkeys(filter(None, filter(_is_text, answer.records))))[:MAX_NAMES]
    if not names:
        return _finding(client, IprevResult.PERMERROR, reason=f"{client} has no name")
    failure = ""
    for name in names:
        answer = yield Question(name, "A" if client.version == 4 else "AAAA")
        if client in map(ipaddress.ip_address, islice(filter(_is_text, answer.records), MAX_ADDRESSES)):
            return _finding(client, IprevResult.PASS, name=name, names=names)
        failure = failure or _failure(name, answer)
    if failure:
        return _finding(client, IprevResult.TEMPERROR, names=names, reason=failure)
    shown = ", ".join(names[:_SHOWN])
    return _finding(client, IprevResult.FAIL, names=names, reason=f"{shown} does not lead back to {client}")


def _is_text(record: object) -> TypeGuard[str]:
    return isinstance(record, str)


def _failure(name: str, answer: Answer) -> str:
    if answer.status is not AnswerStatus.FAILED:
        return ""
    return f"looking up the address of {name}: {answer.reason}"


def _finding(
    client: IPAddress, result: IprevResult, *, name: str = "", names: tuple[str, ...] = (), reason: str = ""
) -> IprevFinding:
    return IprevFinding(result=result, client=client, name=name, names=names, reason=reason[:_MAX_REASON])


def auth_result(finding: IprevFinding) -> AuthResult:
    """The finding for Authentication-Results (RFC 8601 2.7.3); a confirmed name stands in the comment-like reason."""
    reason = finding.name or finding.reason
    return AuthResult(
        method="iprev",
        result=finding.result.value,
        reason=reason,
        properties=(("policy.iprev", str(finding.client)),),
    )
