"""Any From field is authors or one AuthorsError; one that was rewritten is read as ours, and only as ours."""

from types import SimpleNamespace
from typing import Any

from relaygw.core.envelope import Envelope
from relaygw.core.from_field import AuthorsError, parse_authors, read_authors
from relaygw.rewriters.author import AuthorRewriter

SEEDS = (
    b"a@b.test",
    b'"Name, with" (comment (nested)) <a@b.test>, Group: c . d @ e.test, "q u"@f.test;',
    b"=?utf-8?q?J=C3=BCrgen?= <a@[IPv6:2001:db8::1]>",
    "Jürgen <jürgen@bücher.test>".encode(),
    b'a@b.test\r\nFrom: "x',
    b"<a@b> <c@d>",
)
SERVICES: Any = SimpleNamespace(settings=SimpleNamespace(local_domains=("ours.test",), relay_domains=()))
REWRITER = AuthorRewriter({"address": "devices@ours.test"}, SERVICES)


def one_input(data: bytes) -> None:
    try:
        authors = parse_authors(data)
    except AuthorsError:
        pass
    else:
        assert authors
        text = data.decode("utf-8", "replace")
        for author in authors:
            assert "@" in text
            assert parse_authors(str(author.address).encode())[0].address == author.address
    head = b"From: " + data.replace(b"\r", b"").replace(b"\n", b"\r\n ") + b"\r\nSubject: x\r\n"
    _, new = REWRITER.rewrite(Envelope(sender=None), head)
    found = read_authors(new)
    assert found
    assert all(author.address.domain == "ours.test" for author in found)
    assert new.endswith(b"Subject: x\r\n")
