"""Verification of DKIM signatures (RFC 6376, 8301, 8463, 8616) as pure decisions.

    finding  the results, what is found about one signature, and about all of a message
    claim    what a signature field says
    key      what a key record says, and the public-key operation
    body     the hashes of a body, fed in pieces
    head     the fields of a header section in canonical form
    check    one message checked: its questions, its body, its findings

Nothing here asks the network or reads a file. Signing is `relaygw.core.dkim_signature`.
"""

from relaygw.core.dkim.check import Check, Policy, verify
from relaygw.core.dkim.finding import Finding, Findings, Result

__all__ = ["Check", "Finding", "Findings", "Policy", "Result", "verify"]
