"""Mail of every kind that signatures have to survive, made from a seed: the same seed makes the same messages.

Lines end with CRLF and hold no bare CR or LF, as mail on the wire does; everything else is allowed, and happens.
"""

import base64
import random
from collections.abc import Callable, Iterator

KINDS = 14
_WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "while", "mail", "is", "relayed", "on"]
_UTF8 = ["Grüße", "naïve", "日本語", "мир", "🦊", "façade", "Ελλάδα", "שלום"]
_SPACES = [b" ", b"  ", b"\t", b" \t ", b"   ", b"\t\t"]


class Maker:
    """One message a call of `make`."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def messages(self, count: int, large: int = 10_000_000) -> Iterator[bytes]:
        """So many messages, each kind in its turn, and among them one of `large` octets."""
        for number in range(count):
            yield self._large(large) if number == count // 2 else self.make(number)

    def make(self, number: int) -> bytes:
        bodies: list[Callable[[], bytes]] = [
            self._plain, self._empty, self._blank_lines, self._trailing_spaces, self._tabs, self._long_line,
            self._eight_bit, self._multipart, self._dots, self._no_last_line_end, self._utf8, self._base64,
            self._odd_octets, self._only_spaces,
        ]  # fmt: skip
        assert len(bodies) == KINDS
        body = bodies[number % KINDS]()
        return b"".join(self._fields(number)) + b"\r\n" + body

    # The head.

    def _fields(self, number: int) -> list[bytes]:
        fields = [
            b"From: " + self._name() + b" <a@example.com>\r\n",
            b"Date: Mon, 23 Nov 2026 06:00:00 +0000\r\n",
            b"Message-ID: <%d.%d@example.com>\r\n" % (number, self._random.getrandbits(48)),
            b"MIME-Version: 1.0\r\n",
        ]
        extra: list[Callable[[], bytes]] = [
            self._subject, self._subject, self._recipients, self._recipients, self._received, self._cc,
            self._references, self._list_fields, self._unknown, self._content_type, self._empty_field, self._case,
            self._eight_bit_subject,
        ]  # fmt: skip
        fields += [make() for make in self._random.sample(extra, self._random.randint(1, len(extra)))]
        self._random.shuffle(fields)
        return [self._received() for _ in range(self._random.randint(0, 2))] + fields

    def _name(self) -> bytes:
        return self._random.choice(
            [b"Alice", b'"A. Example"', b"=?utf-8?q?=C3=A4?=", "Ä".encode(), b"", b"A\r\n B", b"A  \t B"]
        )

    def _text(self, words: int) -> bytes:
        return b" ".join(self._random.choice(_WORDS).encode() for _ in range(words))

    def _folded(self, words: int) -> bytes:
        """Words with all kinds of white space and folds between them."""
        gaps = [*_SPACES, b"\r\n ", b"\r\n\t", b" \r\n  ", b"\t\r\n \t"]
        return b"".join(self._random.choice(_WORDS).encode() + self._random.choice(gaps) for _ in range(words)) + b"end"

    def _subject(self) -> bytes:
        start = self._random.choice([b"Subject:", b"Subject: ", b"subject:\t", b"SUBJECT:   "])
        return start + self._folded(self._random.randint(0, 20)) + self._random.choice([b"", b" ", b" \t"]) + b"\r\n"

    def _eight_bit_subject(self) -> bytes:
        return b"Subject: " + " ".join(self._random.choice(_UTF8) for _ in range(6)).encode() + b"\r\n"

    def _recipients(self) -> bytes:
        people = [b"b%d@example.org" % self._random.randrange(100) for _ in range(self._random.randint(1, 30))]
        return b"To: " + b",\r\n ".join(people) + b"\r\n"

    def _cc(self) -> bytes:
        return b"Cc:" + self._random.choice(_SPACES) + b"c@example.net (" + self._text(3) + b")\r\n"

    def _received(self) -> bytes:
        return b"Received: from x by y;\r\n\tMon, 23 Nov 2026 06:00:00 +0000\r\n"

    def _references(self) -> bytes:
        return b"References: " + b"\r\n ".join(b"<%d@x>" % self._random.getrandbits(64) for _ in range(20)) + b"\r\n"

    def _list_fields(self) -> bytes:
        return b"List-Id: <l.example.com>\r\nList-Unsubscribe: <mailto:u@example.com>,\r\n  <https://example.com/u>\r\n"

    def _unknown(self) -> bytes:
        return b"X-Whatever: " + self._folded(10) + b"\r\n"

    def _content_type(self) -> bytes:
        return b'Content-Type: text/plain;\r\n\tcharset="utf-8"\r\nContent-Transfer-Encoding: 8bit\r\n'

    def _empty_field(self) -> bytes:
        return self._random.choice([b"Reply-To:\r\n", b"Sender: \r\n", b"In-Reply-To:\t \r\n"])

    def _case(self) -> bytes:
        return self._random.choice(
            [b"rEsEnT-fRoM: a@example.com\r\n", b"CONTENT-ID: <1@x>\r\n", b"cC: x@example.org\r\n"]
        )

    # The body.

    def _lines(self, make: Callable[[], bytes], most: int = 40) -> bytes:
        return b"".join(make() + b"\r\n" for _ in range(self._random.randint(1, most)))

    def _plain(self) -> bytes:
        return self._lines(lambda: self._text(self._random.randint(0, 12)))

    def _empty(self) -> bytes:
        return b""

    def _blank_lines(self) -> bytes:
        return b"\r\n" * self._random.randint(1, 9) + self._plain() + b"\r\n" * self._random.randint(1, 9)

    def _trailing_spaces(self) -> bytes:
        return self._lines(lambda: self._text(5) + self._random.choice(_SPACES))

    def _tabs(self) -> bytes:
        return self._lines(lambda: self._random.choice(_SPACES).join([b"", self._text(1), self._text(2), b""]))

    def _long_line(self) -> bytes:
        return self._text(1) + b" " * self._random.randint(0, 900) + b"y" * self._random.randint(1, 20_000) + b"\r\n"

    def _eight_bit(self) -> bytes:
        return self._lines(lambda: bytes(self._random.randrange(128, 256) for _ in range(60)))

    def _multipart(self) -> bytes:
        part = b'--b\r\nContent-Type: text/html; charset="utf-8"\r\n\r\n<p>' + self._text(9) + b"</p>\r\n"
        return b"preamble\r\n" + part * self._random.randint(1, 4) + b"--b--\r\n\r\nepilogue \r\n"

    def _dots(self) -> bytes:
        return self._lines(lambda: self._random.choice([b".", b"..", b". ", b".a", b"...", b" .", b"a."]))

    def _no_last_line_end(self) -> bytes:
        return self._plain() + self._text(3) + self._random.choice([b"", b" ", b"\t"])

    def _utf8(self) -> bytes:
        return self._lines(lambda: " ".join(self._random.choice(_UTF8) for _ in range(8)).encode())

    def _base64(self) -> bytes:
        return base64.encodebytes(self._random.randbytes(3000)).replace(b"\n", b"\r\n")

    def _odd_octets(self) -> bytes:
        odd = [b"\x01", b"\x0b", b"\x0c", b"\x7f", b"\x1b[0m", b"=20", b"=\r\n", b"\xc2\xa0", b"\xe2\x80\xa8"]
        return self._lines(lambda: b"a".join(self._random.choice(odd) for _ in range(6)))

    def _only_spaces(self) -> bytes:
        return self._lines(lambda: self._random.choice(_SPACES), 6)

    def _large(self, size: int) -> bytes:
        """Text of all kinds, mostly attachment."""
        attachment = base64.encodebytes(self._random.randbytes(size * 20 // 27)).replace(b"\n", b"\r\n")
        return b"".join(self._fields(0)) + b"\r\n" + self._multipart() + self._tabs() + attachment[:size] + b"\r\n"
