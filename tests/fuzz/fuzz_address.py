"""Any text is an address or one AddressError; an address is bounded, and written out it is the same address again."""

from relaygw.core.address import MAX_DOMAIN, MAX_LOCAL, AddressError, normalize_domain, parse_address
from relaygw.core.mail_commands import UnsafePath, safe_path

SEEDS = (
    b"user@example.com",
    b'"quoted \\" local"@example.com',
    b"user@[192.0.2.1]",
    b"user@[IPv6:2001:db8::1]",
    "jörg@bücher.example".encode(),
    b"a@xn--bcher-kva.example",
    "a@straße。example".encode(),
)


def one_input(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    try:
        normalized = normalize_domain(text)
    except AddressError:
        pass
    else:
        assert normalize_domain(normalized) == normalized
    try:
        address = parse_address(text)
    except AddressError:
        return
    assert len(address.local.encode("utf-8", "replace")) <= MAX_LOCAL
    assert address.domain.isascii()
    assert len(address.domain) <= MAX_DOMAIN + 10
    assert parse_address(str(address)) == address
    try:
        path = safe_path(address)
    except UnsafePath:
        return
    assert path.isprintable() or not path.isascii()
    assert "\r" not in path
    assert "\n" not in path
