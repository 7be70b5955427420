"""Charsets are known by all their names; Python is asked for no name that a stranger has made up."""

import codecs
import encodings

import pytest

from relaygw.core.charsets import codec_of
from relaygw.core.content import BytesContent
from relaygw.core.dsn_words import readable_subject
from relaygw.mailbox.imap.search_text import SearchedMessage, decoded_words


@pytest.mark.parametrize(
    ("charset", "codec"),
    [
        ("UTF-8", "utf_8"),
        ("us-ascii", "ascii"),
        ("ANSI_X3.4-1968", "ascii"),
        ("ISO-8859-1", "latin_1"),
        ("iso-8859-15", "iso8859_15"),
        ("windows-1252", "cp1252"),
        ("KOI8-U", "koi8_u"),
        ("ISO-2022-JP", "iso2022_jp"),
        ("GB18030", "gb18030"),
        ("ks_c_5601-1987", "euc_kr"),
        ("macintosh", "mac_roman"),
        ("base64", ""),
        ("punycode", ""),
        ("idna", ""),
        ("unicode_escape", ""),
        ("unicode-1-1-utf-7", ""),
        ("x-made-up", ""),
        ("ütf-8", ""),
        ("", ""),
    ],
)
def test_names(charset: str, codec: str) -> None:
    assert codec_of(charset) == codec
    if codec:
        assert codecs.lookup(codec).name == codecs.lookup(charset).name


def test_python_hears_of_no_name_that_is_not_known() -> None:
    made_up = [f"made-up-{number}" for number in range(50)]
    words = " ".join(f"=?{name}?q?x?=" for name in made_up)
    head = f"Subject: {words[:900]}\r\nContent-Type: text/plain; charset={made_up[0]}\r\n"
    message = SearchedMessage(BytesContent(f"{head}\r\nBody\r\n".encode()))
    assert message.body() == "body\r\n"
    assert "subject: x" in message.head()
    assert decoded_words(f"=?{made_up[1]}?q?=C3=BC?=".encode()) == "ü"
    assert readable_subject(head.encode()).startswith("=?made-up-0?q?x?=")
    known = set(encodings._cache)  # type: ignore[attr-defined]  # what it has been asked for, without a public name
    assert not [name for name in known if "made" in name]
