"""An address is bounded in the form it travels in: written out it is the same address again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaygw.core.address import MAX_LABELS, Address, AddressError, normalize_domain, parse_address

LABELS = "é." * 50
"""Each label is "xn--9ca" in ASCII: two octets become seven."""


def test_a_domain_may_grow_to_254_octets_and_no_further() -> None:
    domain = LABELS[:60] + "example"
    assert len(str(parse_address(f"{'a' * 6}@{domain}"))) == 254
    with pytest.raises(AddressError, match="once its domain is written in ASCII"):
        parse_address(f"{'a' * 7}@{domain}")


@given(st.text(st.sampled_from('ab"\\ .@é[]:1-'), max_size=40).map(lambda text: f"{text}@" + LABELS[: len(text) * 2]))
def test_an_address_written_out_is_the_same_address(text: str) -> None:
    try:
        address = parse_address(text.rstrip("."))
    except AddressError:
        return
    assert isinstance(address, Address)
    assert parse_address(str(address)) == address


@pytest.mark.parametrize("zone", ["%eth0", "%\0", "%\r\nRCPT TO:<x@example.org>", "%é"])
def test_an_address_literal_has_no_zone(zone: str) -> None:
    with pytest.raises(AddressError, match="not an address literal"):
        parse_address(f"a@[IPv6:fe80::1{zone}]")


def test_a_name_that_is_not_ascii_has_so_many_labels_and_not_one_more() -> None:
    name = "\u00fc." * (MAX_LABELS - 1)
    assert normalize_domain(name + "x").count(".") == MAX_LABELS - 1
    for dot in ".\u3002\uff0e\uff61":
        with pytest.raises(AddressError, match="more than 31 labels"):
            normalize_domain(name + dot.join("xy"))
    assert normalize_domain("a." * 100 + "x") == "a." * 100 + "x"
