"""Names and records between dnspython and the values of `relaygw.core.question`.

A name of ours is its labels with dots between, taken literally: nothing in a Question is an escape. A label from the
network that holds a dot or another odd octet keeps dnspython's escape, so that it can never be taken for two labels.
"""

from typing import Any

import dns.exception
import dns.name
import dns.rdata
import dns.rdatatype

from relaygw.core.question import Data, Exchange, Tlsa

TYPES = frozenset({"A", "AAAA", "CNAME", "DNAME", "MX", "NS", "PTR", "TLSA", "TXT"})
"""The types we know how to read."""


def to_name(text: str) -> dns.name.Name | None:
    """The absolute name for a Question's name, None where the DNS cannot have it (RFC 1035 2.3.4)."""
    labels = text.removesuffix(".").encode("utf-8", "surrogateescape").split(b".")
    try:
        return dns.name.Name([*labels, b""])
    except dns.exception.DNSException:
        return None


def from_name(name: dns.name.Name) -> str:
    """Lower case, no final dot; "" for the root."""
    return name.to_text(omit_final_dot=True).lower() if len(name) > 1 else ""


def from_rdata(rdata: dns.rdata.Rdata) -> Data:
    """One record's data; raises ValueError for a type not in TYPES."""
    record: Any = rdata  # dnspython makes the classes of the types at run time
    kind = rdata.rdtype
    if kind in (dns.rdatatype.A, dns.rdatatype.AAAA):
        return str(record.address)
    if kind == dns.rdatatype.TXT:
        return b"".join(record.strings)
    if kind in (dns.rdatatype.CNAME, dns.rdatatype.DNAME, dns.rdatatype.NS, dns.rdatatype.PTR):
        return from_name(record.target)
    if kind == dns.rdatatype.MX:
        return Exchange(record.preference, from_name(record.exchange))
    if kind == dns.rdatatype.TLSA:
        return Tlsa(record.usage, record.selector, record.mtype, record.cert)
    raise ValueError(f"records of type {dns.rdatatype.to_text(kind)} are not read")
