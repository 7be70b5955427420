"""SASL for SMTP, POP3 and IMAP4 (RFC 4422): one driver, mechanisms as small coroutines, twisted.cred behind it.

A protocol makes one `Logins` per connection and one `Exchange` per AUTH command, feeds it the client's lines (base64
as they came, without the line end) and turns each Step into its own words. Any step may take time. The peer is never
told which part of its credentials was wrong.
"""

from relaygw.sasl.driver import Authenticator, Exchange, Logins, decode
from relaygw.sasl.guard import Guard, Nobody
from relaygw.sasl.mechanisms import SecureChannel
from relaygw.sasl.proof import IProvenName, ProvenName, ProvenNameChecker
from relaygw.sasl.steps import MAX_CREDENTIAL, MAX_RESPONSE, Authenticated, Challenge, Refusal, Refused, Step

__all__ = [
    "MAX_CREDENTIAL",
    "MAX_RESPONSE",
    "Authenticated",
    "Authenticator",
    "Challenge",
    "Exchange",
    "Guard",
    "IProvenName",
    "Logins",
    "Nobody",
    "ProvenName",
    "ProvenNameChecker",
    "Refusal",
    "Refused",
    "SecureChannel",
    "Step",
    "decode",
]
