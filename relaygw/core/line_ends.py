"""Whether all line ends of a content are CRLF: servers disagree on what a bare CR or LF means, and mail is smuggled
through the disagreement (RFC 5321 2.3.8)."""

import re

# Each begins with the octet that is looked for, which is found at the speed of memory. To count the octets and the
# pairs takes more than twice as long.
_BARE_LF = re.compile(rb"\n(?<!\r\n)")
_BARE_CR = re.compile(rb"\r(?!\n)")


def has_bare(data: bytes) -> bool:
    """Whether a CR without LF or a LF without CR stands in the data; one at its end, or at its beginning, is bare."""
    return _BARE_LF.search(data) is not None or _BARE_CR.search(data) is not None
