"""The DNS record of a DKIM key (RFC 6376 3.6.1, RFC 8463 4): its name, its value, and its line in a zone file.

Knows texts only; keys are read and made in `relaygw.keys`.
"""

import base64

STRING = 255
"""Octets one character-string of a TXT record can hold (RFC 1035 3.3)."""

_TTL = 3600


def name(selector: str, domain: str) -> str:
    """Where a verifier asks for the key (RFC 6376 3.6.2.1)."""
    return f"{selector}._domainkey.{domain}"


def value(algorithm: str, public_key: bytes) -> str:
    """`algorithm` is "rsa" (the key a SubjectPublicKeyInfo in DER) or "ed25519" (the 32 octets of the key)."""
    return f"v=DKIM1; k={algorithm}; p={base64.b64encode(public_key).decode('ascii')}"


def empty(algorithm: str) -> str:
    """The value that revokes a key: whoever finds it knows that its signatures are to fail (RFC 6376 3.6.1)."""
    return f"v=DKIM1; k={algorithm}; p="


def strings(text: str) -> tuple[str, ...]:
    """The value in pieces a TXT record can hold; a verifier joins them with nothing between."""
    return tuple(text[start : start + STRING] for start in range(0, len(text), STRING))


def zone_line(owner: str, text: str) -> str:
    """One record as a zone file holds it (RFC 1035 5.1)."""
    quoted = " ".join(f'"{piece}"' for piece in strings(text))
    return f"{owner}. {_TTL} IN TXT ( {quoted} )"
