"""The charsets of mail by the names that strangers give them.

Python keeps every name it has ever been asked for, known or not, for as long as it runs, and knows codecs that are no
charsets or take the square of a text's length: it is asked for nothing but what stands here.
"""

import re
from encodings.aliases import aliases

_NO_CHARSETS = frozenset(
    {"base64_codec", "bz2_codec", "hex_codec", "quopri_codec", "rot_13", "uu_codec", "zlib_codec", "mbcs", "utf_7"}
)
_WITHOUT_ALIASES = (
    "cp1006", "cp720", "cp737", "cp856", "cp874", "cp875", "koi8_t", "koi8_u", "mac_arabic", "mac_croatian",
    "mac_farsi", "mac_romanian", "utf_8_sig",
)  # fmt: skip
_SIGNS = re.compile("[^a-z0-9]+")


def codec_of(charset: str) -> str:
    """The name of Python's codec for a charset, "" where it is none that is known."""
    return _CODECS.get(_plain(charset), "")


def _plain(name: str) -> str:
    return _SIGNS.sub("_", name.lower())


_CODECS = {
    _plain(name): codec
    for names in (aliases.items(), ((codec, codec) for codec in (*aliases.values(), *_WITHOUT_ALIASES)))
    for name, codec in names
    if codec not in _NO_CHARSETS
}
