"""MX of a domain: it leads to us, and every host in it has addresses and is no alias."""

from relaygw.core.dns_check.finding import Finding, Subject, failed
from relaygw.core.dns_check.site import Site, as_address, lookup, our_exchanges
from relaygw.core.question import Answer, AnswerStatus, Exchange, Inquiry, Question


def check_exchanges(site: Site, domain: str) -> Inquiry[tuple[Finding, ...]]:
    subject = Subject(check="mx", about=domain, name=domain, type="MX", expected=f"10 {site.hostname}.")
    answer = yield Question(domain, "MX")
    if failed(answer):
        return (subject.unknown(answer),)
    exchanges = sorted(record for record in answer.records if isinstance(record, Exchange))
    subject = subject.seen(exchanges)
    whole = _without_exchange(site, subject, answer, exchanges)
    if whole is not None:
        return (whole,)
    ours = yield from our_exchanges(site, domain)
    findings = [_ours(site, subject, exchanges, ours)]
    for host in dict.fromkeys(exchange.host for exchange in exchanges if exchange.host):
        findings += yield from _host(domain, host)
    return tuple(findings)


def _without_exchange(site: Site, subject: Subject, answer: Answer, exchanges: list[Exchange]) -> Finding | None:
    receives = site.receives(subject.about)
    record = (subject.record(subject.expected),) if receives else ()
    tell = subject.error if receives else subject.note
    if answer.status is AnswerStatus.NO_NAME:
        return subject.error("the domain does not exist in the DNS", *record)
    if not exchanges:
        # RFC 5321 5.1: its own address would stand in; what is left to that is easily lost.
        return tell("there is no MX record", *record)
    if not any(exchange.host for exchange in exchanges):
        return tell("the null MX says that the domain takes no mail (RFC 7505)", *record)
    return None


def _ours(site: Site, subject: Subject, exchanges: list[Exchange], ours: tuple[str, ...]) -> Finding:
    if len(exchanges) > 1 and any(not exchange.host for exchange in exchanges):
        return subject.error("a null MX stands beside others (RFC 7505 3)", subject.record(subject.expected))
    if ours:
        best = exchanges[0].host in ours
        return subject.ok("mail comes here" + ("" if best else ", after other hosts"))
    if not site.receives(subject.about):
        return subject.note("mail goes elsewhere, and no listener here is for it")
    return subject.error("none of these hosts is ours, by name or by address", subject.record(subject.expected))


def _host(domain: str, host: str) -> Inquiry[list[Finding]]:
    """A host in an MX record is a name with addresses, and no alias (RFC 5321 5.1, RFC 2181 10.3)."""
    subject = Subject(check="mx", about=domain, name=host, type="A", expected="a name with an address")
    if as_address(host) is not None:
        return [subject.error(f"{host} is an address; an MX record needs a name (RFC 5321 5.1)")]
    alias = yield Question(host, "CNAME")
    if alias.status is AnswerStatus.FOUND:
        aliased = Subject(check="mx", about=domain, name=host, type="CNAME", expected="no alias").seen(alias.records)
        return [aliased.error(f"{host} is an alias, which the host of an MX record must not be (RFC 2181 10.3)")]
    found = yield from lookup(host)
    if found.failure is not None:
        return [subject.unknown(found.failure)]
    if not found.addresses:
        return [subject.error(f"the MX host {host} has no address")]
    return []
