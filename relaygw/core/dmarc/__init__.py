"""DMARC (RFC 9989) as pure decisions: whose name a message bears, and whether the owner of the name stands behind it.

    record    what a DMARC policy record says
    walk      the DNS tree walk: policy discovery and organizational domains
    evaluate  one message evaluated, as an inquiry
    result    the evaluation as a value
    policy    what an evaluation leads to, and how it is told

RFC 9989 knows no list of public suffixes: the boundary between owners is what the DNS says. Nothing here asks the
network; `relaygw.dns.consult` runs the inquiry.
"""

from relaygw.core.dmarc.evaluate import evaluate
from relaygw.core.dmarc.result import Evaluation, Identifier, Result

__all__ = ["Evaluation", "Identifier", "Result", "evaluate"]
