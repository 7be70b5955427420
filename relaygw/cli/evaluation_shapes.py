"""An evaluation as JSON, and as people read it. Every part has `result` and `reason`, checked or not."""

from collections.abc import Sequence

from relaygw.cli.answer import printable
from relaygw.cli.asking import question_document, question_line
from relaygw.cli.evaluation import Case, Evaluation
from relaygw.control.shapes import Json
from relaygw.core import arc, dkim, dmarc, iprev
from relaygw.core.arc.finding import auth_result as arc_auth_result
from relaygw.core.authres import compose
from relaygw.core.dkim.finding import auth_results
from relaygw.core.dmarc.policy import auth_result as dmarc_auth_result
from relaygw.core.spf import Finding as SpfFinding
from relaygw.core.spf import Result
from relaygw.core.spf.policy import auth_result as spf_auth_result
from relaygw.core.spf.result import Findings as SpfFindings
from relaygw.core.verdict import AuthResult
from relaygw.dns import Asked

_NO_CLIENT = "the client's address is not known"


def document_of(case: Case, found: Evaluation, asked: Sequence[Asked], notes: Sequence[str]) -> Json:
    return {
        "message": {
            "size": case.content.size,
            "client": str(case.client or ""),
            "hello": case.hello,
            "sender": str(case.sender or ""),
            "authors": list(found.authors.domains),
        },
        "spf": _spf(case, found),
        "dkim": [_signature(each) for each in found.signatures.signatures],
        "dmarc": {
            **_dmarc(found.judged),
            "case": found.line.value,
            "action": found.action.value,
            "override": found.override,
        },
        "arc": _arc(found.chain),
        "iprev": _iprev(case, found.iprev),
        "authentication_results": field_of(case, found),
        "questions": [question_document(each) for each in asked],
        "notes": list(notes),
    }


def _spf(case: Case, found: Evaluation) -> Json:
    """The finding for the reverse-path, or for HELO where that is null; `helo` is the other identity."""
    missing = _NO_CLIENT if case.client is None else "neither a sender nor a HELO name is known"
    return {
        **_spf_finding(found.spf, missing),
        "helo": _spf_finding(found.hello, _no_hello(case)),
        "action": found.spf_action.value,
    }


def _no_hello(case: Case) -> str:
    return _NO_CLIENT if case.client is None else "the HELO name is not known"


def _spf_finding(finding: SpfFinding | None, missing: str) -> Json:
    if finding is None:
        unknown = dict.fromkeys(("identity", "domain", "sender", "mechanism", "explanation"), "")
        return {"result": Result.NONE.value, "reason": missing, **unknown, "lookups": 0}
    return {
        "result": finding.result.value,
        "reason": finding.reason or _matched(finding),
        "identity": finding.identity.value,
        "domain": finding.domain,
        "sender": finding.sender,
        "mechanism": finding.mechanism,
        "explanation": finding.explanation,
        "lookups": finding.lookups,
    }


def _matched(finding: SpfFinding) -> str:
    if finding.mechanism == "default":
        return f"no term of the record of {finding.domain} matches {finding.client}"
    return f"{finding.client} matches {finding.mechanism}" if finding.mechanism else ""


def _signature(finding: dkim.Finding) -> Json:
    return {
        "result": finding.result.value,
        "reason": finding.reason or "the signature holds",
        "domain": finding.domain,
        "selector": finding.selector,
        "identity": finding.identity,
        "algorithm": finding.algorithm,
        "key_size": finding.key_size,
        "length": finding.length,
        "testing": finding.testing,
        "notes": list(finding.notes),
    }


def _dmarc(found: dmarc.Evaluation) -> Json:
    record = found.record
    return {
        "result": found.result.value,
        "reason": found.reason or _aligned(found),
        "domain": found.author,
        "organizational_domain": found.organizational,
        "policy_domain": found.policy_domain,
        "record": record.text if record is not None else "",
        "tag": found.tag,
        "published_policy": found.published.value,
        "policy": found.policy.value,
        "testing": record is not None and record.testing,
        "identifiers": [
            {
                "method": each.method,
                "domain": each.domain,
                "selector": each.selector,
                "result": each.result,
                "aligned": each.aligned,
            }
            for each in found.identifiers
        ],
        "queries": found.queries,
    }


def _aligned(found: dmarc.Evaluation) -> str:
    """What a pass rests on."""
    told = (f"{each.method} pass for {each.domain}, aligned" for each in found.identifiers if each.passed)
    return "; ".join(dict.fromkeys(told))


def _arc(found: arc.Findings) -> Json:
    return {
        "result": found.result.value,
        "reason": found.reason or _chain(found),
        "seals": [
            {"instance": each.instance, "domain": each.domain, "selector": each.selector, "results": each.results}
            for each in found.seals
        ],
    }


def _chain(found: arc.Findings) -> str:
    return "sealed by " + ", then ".join(each.domain for each in found.seals) if found.seals else "there is no ARC set"


def _iprev(case: Case, found: iprev.IprevFinding | None) -> Json:
    if found is None:
        private = f"{case.client} is a private address, of which the DNS knows nothing: it is not asked"
        return {"result": "none", "reason": private if case.client else _NO_CLIENT, "name": "", "names": []}
    reason = found.reason or f"{found.client} leads to {found.name} and back"
    return {"result": found.result.value, "reason": reason, "name": found.name, "names": list(found.names)}


def field_of(case: Case, found: Evaluation) -> str:
    """The Authentication-Results field that the filters would have made."""
    utf8 = not (case.content.head.isascii() and str(case.sender or "").isascii())
    return compose(case.receiver, _auth_results(found, str(case.client or "")), utf8=utf8).decode("utf-8")


def _auth_results(found: Evaluation, client: str) -> list[AuthResult]:
    results = [iprev.auth_result(found.iprev)] if found.iprev is not None else []
    results += map(spf_auth_result, SpfFindings(hello=found.hello, mail_from=found.mail_from).told)
    results += [*auth_results(found.signatures), arc_auth_result(found.chain, client)]
    return [*results, dmarc_auth_result(found.judged)]


def text_of(document: Json, asked: Sequence[Asked]) -> str:
    """In words: the results, the field, the questions."""
    spf, found = document["spf"], document["dmarc"]
    lines = [_line("spf", spf, spf["domain"]), _line("  helo", spf["helo"], spf["helo"]["domain"])]
    lines.append(f"{'':8}our action: {spf['action']}")
    lines += [_line("dkim", each, _signer(each), *each["notes"]) for each in document["dkim"]]
    lines += [] if document["dkim"] else ["dkim    none: there is no signature"]
    lines.append(_line("dmarc", found, found["domain"]))
    if found["record"]:
        lines.append(f"{'':8}{printable(found['policy_domain'])}: {printable(found['record'])}")
        lines.append(f"{'':8}a message that fails: {found['policy']} ({found['tag']}={found['published_policy']})")
    why = f": {found['override']}" if found["override"] else ""
    lines.append(printable(f"{'':8}our action: {found['action']}{why}"))
    lines.append(_line("arc", document["arc"], ""))
    lines.append(_line("iprev", document["iprev"], ""))
    lines += ["", document["authentication_results"].replace("\r\n", "\n").rstrip("\n")]
    lines += ["", f"{len(asked)} question{'' if len(asked) == 1 else 's'} to the DNS:"]
    lines += [f"  {question_line(each)}" for each in asked]
    return "\n".join(lines)


def _line(name: str, part: Json, about: str, *notes: str) -> str:
    told = "; ".join(filter(None, (part["reason"], *notes)))
    return printable(f"{name:<8}{part['result']}" + (f" for {about}" if about else "") + (f": {told}" if told else ""))


def _signer(signature: Json) -> str:
    size = f", {signature['key_size']} bits" if signature["key_size"] else ""
    return (
        f"{signature['domain'] or '?'} (selector {signature['selector'] or '?'}, {signature['algorithm'] or '?'}{size})"
    )
