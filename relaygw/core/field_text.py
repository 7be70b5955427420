"""Texts from outside on their way into header fields that we write: bounded, and unable to leave their line."""

MAX_VALUE = 320
"""Octets of one value before quoting: an address fits (RFC 5321 4.5.3.1), a hostile text is cut."""


def tame(text: str) -> str:
    """The text with a question mark for everything that does not print, cut to MAX_VALUE octets."""
    if len(text) <= MAX_VALUE and text.isascii() and text.isprintable():  # nearly always, and much cheaper
        return text
    safe = "".join(character if character.isprintable() else "?" for character in text[:MAX_VALUE])
    return safe.encode("utf-8", "replace")[:MAX_VALUE].decode("utf-8", "ignore")
