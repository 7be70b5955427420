"""Any header section names authors or says what is wrong; what claims to be our Authentication-Results never stays."""

from relaygw.core.author import read_authors
from relaygw.core.authres import claimed, without_claimed

SEEDS = (
    b'From: "a, b" <x@y.test>, Group: c@d.test;, (comment) e @ f . test\r\n',
    b"From: <@a.test,@b.test:c@d.test>\r\nfrom : x@[192.0.2.1]\r\n",
    b"Authentication-Results: (x) mx.test 1; none\r\nAuthentication-Results:\r\n other.test; spf=pass\r\nX: y\r\n",
)


def one_input(data: bytes) -> None:
    head = data if data.endswith(b"\n") or not data else data + b"\r\n"
    found = read_authors(head)
    assert found.domains or found.flaw
    assert all(domain.isascii() and domain == domain.lower() for domain in found.domains)
    kept, forged = without_claimed(head, ("mx.test",))
    assert claimed(kept, ("mx.test",)) == []
    assert len(kept) + sum(map(len, forged)) == len(head)
