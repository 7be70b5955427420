"""Any table file is entries and faults with their lines; any key and target is one or a TargetError; any SRS local part
is an address or a refusal, and never one that we have not made.
"""

import contextlib

from relaygw.core.address import Address
from relaygw.core.alias_targets import TargetError, key_of, parse_target
from relaygw.core.srs import MALFORMED, Refusal, Srs
from relaygw.core.table_files import is_include, read_aliases, read_list, read_pairs, target_fault

SEEDS = (
    b"postmaster: root\nroot: alice,\n  bob@b.test # no\n\n# comment\n",
    b'"two words": "|cmd x", :include:/etc/list\n\\x: \\bob, /dev/null\n',
    b"info@b.test alice, bob@c.test\n@b.test @c.test\n",
    b"SRS0=A0Lw=6A=example.org=alice",
    b"SRS1=eaIm=first.example==XxXx=FF=orig.example=u",
    b'a: "b, c" <d@e.test>, @f.test, :INCLUDE:x\n',
)
SRS = Srs(domain="here.test", secrets=(b"nobody knows it",))


def one_input(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    for read in (read_aliases, read_pairs, lambda each: read_aliases(each, include=True)):
        found = read(text)
        lines = len(text.splitlines())
        assert all(1 <= fault.line <= lines for fault in found.faults)
        for entry in found.entries:
            assert 1 <= entry.line <= lines
            assert key_of(entry.key) == entry.key or '"' in entry.key
            assert entry.values
            assert all(is_include(value) or not target_fault(value) for value in entry.values)
    targets, faults = read_list(text)
    assert bool(targets) or not faults
    for parse in (key_of, parse_target):
        with contextlib.suppress(TargetError):
            parse(text)
    assert isinstance(SRS.reverse(Address(text, "here.test"), 1e9), Refusal)
    made = SRS.forward(Address(text, "there.test"), 1e9)
    if isinstance(made, Address) and not text[:4].upper().startswith("SRS"):
        assert SRS.reverse(made, 1e9) == (Address(text, "there.test") if text else MALFORMED)
