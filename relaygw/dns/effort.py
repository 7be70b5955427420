"""How much work an answer is, found out before it is read: on the reactor's thread, and anybody may have a zone.

Four thousand MX records whose name has 126 labels fit into one answer by compression, and take seconds: the data of a
record is hashed, which takes the time of the labels' square. Counted here is what takes time there, in steps of about a
microsecond; more than MAX_STEPS is an answer that nobody reads. What is malformed is left for dnspython to say.
"""

from collections.abc import Mapping

import dns.exception
import dns.rdatatype

MAX_STEPS = 20_000
"""Some 350 records with names of everyday; no honest set that mail asks for is nearly as large."""

RECORD = 50
"""Steps of a record, or of a question, beside those of its names and data."""
_SQUARE = 6
"""The square of the labels of a name in data, divided by this, is steps too."""
_STRING = 5
"""Steps of a string of a TXT record."""
_UNKNOWN = 65
"""Steps of an octet of data of which nothing is known: two of them may stand for a whole name."""

_HEADER = 12
_NAMED: Mapping[int, tuple[int, int]] = {
    dns.rdatatype.NS: (0, 1),
    dns.rdatatype.CNAME: (0, 1),
    dns.rdatatype.DNAME: (0, 1),
    dns.rdatatype.PTR: (0, 1),
    dns.rdatatype.NSEC: (0, 1),
    dns.rdatatype.SOA: (0, 2),
    dns.rdatatype.MX: (2, 1),
    dns.rdatatype.SRV: (6, 1),
    dns.rdatatype.RRSIG: (18, 1),
}
"""Where the names in the data of a type begin, and how many there are; the rest of it costs no more than its octets."""
_PLAIN = frozenset({dns.rdatatype.A, dns.rdatatype.AAAA, dns.rdatatype.TLSA, dns.rdatatype.DS, dns.rdatatype.DNSKEY})
_OPTIONS = dns.rdatatype.OPT


class TooMuchWork(dns.exception.FormError):
    """The answer would take too long to read."""

    msg = "the answer is too large to be read"


def check_effort(wire: bytes) -> None:
    """Raises TooMuchWork for a DNS message that takes more than MAX_STEPS to read."""
    try:
        _Walk(wire).run()
    except IndexError:
        return  # cut short: so far dnspython will come, and no further


class _Walk:
    """One pass over a message, which ends when the steps do; so it is bounded itself."""

    def __init__(self, wire: bytes) -> None:
        self._wire = wire
        self._place = _HEADER
        self._steps = 0

    def run(self) -> None:
        questions, *records = (self._number(place) for place in (4, 6, 8, 10))
        for _ in range(questions):
            self._spend(RECORD)
            self._name()
            self._place += 4
        for _ in range(sum(records)):
            self._record()

    def _record(self) -> None:
        self._spend(RECORD)
        self._name()
        kind, size = self._number(self._place), self._number(self._place + 8)
        begin = self._place + 10
        if kind in _NAMED:
            offset, names = _NAMED[kind]
            self._place = begin + offset
            for _ in range(names):
                labels = self._name()
                self._spend(labels * labels // _SQUARE)
            self._spend(size // 4)
        elif kind == dns.rdatatype.TXT:
            self._strings(begin, begin + size)
        else:
            self._spend(size // 4 if kind in _PLAIN else 2 * size if kind == _OPTIONS else _UNKNOWN * size)
        self._place = begin + size

    def _strings(self, place: int, end: int) -> None:
        while place < end:
            self._spend(_STRING)
            place += 1 + self._wire[place]

    def _name(self) -> int:
        """Past the name at this place; how many labels it has, wherever compression has put them (RFC 1035 4.1.4)."""
        place, labels, after, nearest = self._place, 0, 0, self._place
        while octet := self._wire[place]:
            self._spend(1)
            if octet < 0xC0:
                labels += 1
                place += octet + 1
                continue
            target = (octet & 0x3F) << 8 | self._wire[place + 1]
            after = after or place + 2
            if target >= nearest:  # only backwards, or it might never end
                raise IndexError
            place = nearest = target
        self._place = after or place + 1
        return labels

    def _number(self, place: int) -> int:
        return self._wire[place] << 8 | self._wire[place + 1]

    def _spend(self, steps: int) -> None:
        self._steps += steps
        if self._steps > MAX_STEPS:
            raise TooMuchWork
