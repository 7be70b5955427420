"""Our own name in the DNS: it has addresses, they lead back to it (iprev), and it may send as its HELO name (SPF)."""

from relaygw.core.client import IPAddress, is_inside
from relaygw.core.dns_check.finding import Finding, Published, Subject, failed
from relaygw.core.dns_check.sender import better, evaluate, spf_records
from relaygw.core.dns_check.site import Site, lookup, our_addresses
from relaygw.core.iprev import IprevFinding, IprevResult, check_iprev
from relaygw.core.question import Inquiry, Question
from relaygw.core.spf import Result


def check_addresses(site: Site) -> Inquiry[tuple[Finding, ...]]:
    """A and AAAA of the hostname, and the way back from each address."""
    about = Subject(check="address", about=site.hostname, name=site.hostname, type="A")
    if "." not in site.hostname:
        return (about.wanting("a full name").error("the hostname is not a full name: nobody can look it up"),)
    looked = yield from lookup(site.hostname)
    if looked.failure is not None:
        return (about.unknown(looked.failure),)
    found = looked.addresses
    findings = [_address(about, site, found)]
    for address in site.addresses or found:
        findings.append(_pointer(site, address, (yield from check_iprev(address))))
    return tuple(findings)


def _address(about: Subject, site: Site, found: tuple[IPAddress, ...]) -> Finding:
    wanted = ", ".join(map(str, site.addresses)) or "the address the world sees"
    subject = about.seen(map(str, found), wanted)
    missing = [address for address in site.addresses if address not in found]
    if missing or not found:
        records = (_record(site.hostname, address) for address in missing)
        told = ", ".join(map(str, missing)) or "any address"
        return subject.error(f"the name does not lead to {told}", *records)
    private = [str(address) for address in found if is_inside(address)]
    if private:
        return subject.warning(f"{', '.join(private)} cannot be reached from outside")
    return subject.ok("the name has addresses")


def _record(name: str, address: IPAddress) -> Published:
    return Published(name=name, type="A" if address.version == 4 else "AAAA", value=str(address))


def _pointer(site: Site, address: IPAddress, found: IprevFinding) -> Finding:
    """Large receivers refuse hosts whose address and name do not lead to each other."""
    subject = Subject(
        check="ptr",
        about=str(address),
        name=address.reverse_pointer,
        type="PTR",
        found=tuple(f"{name}." for name in found.names),
        expected=f"{site.hostname}.",
    )
    record = subject.record(f"{site.hostname}.")
    if found.result is IprevResult.TEMPERROR:
        return subject.error(found.reason) if found.names else subject.unanswered(found.reason)
    if found.result is not IprevResult.PASS:
        tell = subject.error if site.direct else subject.warning
        return tell(f"{found.reason}; ask who gave you the address to set it", record)
    if site.hostname not in found.names:
        return subject.warning(f"it leads to {found.name} and back, but we greet as {site.hostname}", record)
    return subject.ok(f"{address} leads to the name and back")


def check_hello(site: Site) -> Inquiry[tuple[Finding, ...]]:
    """SPF of the HELO name, which is all that reports with the null reverse-path have (RFC 7208 2.3, 10.1.3)."""
    subject = Subject(check="spf", about=site.hostname, name=site.hostname, type="TXT", expected="v=spf1 a -all")
    if "." not in site.hostname:
        return ()
    answer = yield Question(site.hostname, "TXT")
    if failed(answer):
        return (subject.unknown(answer),)
    subject = subject.seen(spf_records(answer))
    if not subject.found:
        message = "there is no SPF record for our HELO name: bounces and reports have nothing to pass by"
        return (subject.warning(message, subject.record(subject.expected)),)
    findings = []
    for address in (yield from our_addresses(site)):
        found = yield from evaluate(site, address, site.hostname)
        why = f" ({found.reason})" if found.reason else ""
        message = f"{address} as {site.hostname}: {found.result.value}{why}"
        passed = found.result is Result.PASS
        findings.append(subject.ok(message) if passed else subject.error(message, *better(subject, found)))
    return tuple(findings)
