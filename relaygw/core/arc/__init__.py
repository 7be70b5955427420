"""Authenticated received chains (RFC 8617) as pure decisions: validated here, continued by `seal`.

sets     the ARC sets of a header section, read and put in order
check    the chain validated, as an inquiry
finding  the result, and whether somebody we trust vouches for the message
seal     a set of our own, but for the private key's part
"""

from relaygw.core.arc.check import Check, verify
from relaygw.core.arc.finding import Findings, Result

__all__ = ["Check", "Findings", "Result", "verify"]
