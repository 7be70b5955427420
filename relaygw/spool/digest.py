"""Whether a content is what was stored: by its size, and by the CRC-32 of its body and then of what stands on top of
it. Older programs stored none.
"""

from zlib import crc32

WRONG = "is not what was stored: its digest is wrong"


def inline_fault(size: int, prefix: object, data: object, crc: int | None) -> str:
    """What is wrong with a content in the database, in words after "the content"; "" where it is sound."""
    if not isinstance(prefix, bytes) or not isinstance(data, bytes):
        return "is not what was stored: it is no octets any more"
    if len(data) != size:
        return f"has {len(data)} of {size} octets"
    return "" if crc is None or crc32(prefix, crc32(data)) == crc else WRONG
