"""SPF (RFC 7208) as pure decisions: what a record says, and what it says about one client.

    result    the seven results, the two identities, and the finding of one check
    macro     macro strings: syntax and expansion
    record    record selection and syntax
    check     check_host() as an inquiry: it asks DNS questions and returns a Finding
    memory    findings kept for as long as the answers they were made from
    received  the Received-SPF field

Nothing here asks the network; `relaygw.dns.consult` runs the inquiry.
"""

from relaygw.core.spf.check import check_hello, check_host, check_mail_from
from relaygw.core.spf.memory import Memory
from relaygw.core.spf.received import received_spf
from relaygw.core.spf.result import Finding, Identity, Result

__all__ = ["Finding", "Identity", "Memory", "Result", "check_hello", "check_host", "check_mail_from", "received_spf"]
