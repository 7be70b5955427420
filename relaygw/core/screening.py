"""Small decisions about one message that need nothing but the message: is it too large, does it travel in a circle."""

from relaygw.core import headers
from relaygw.core.reply import Reply
from relaygw.core.verdict import PASS, Verdict, reject


def judge_size(size: int, limit: int) -> Verdict:
    """552 5.3.4 for more than `limit` octets, declared (RFC 1870 6.1) or counted."""
    if size <= limit:
        return PASS
    reply = Reply(552, "5.3.4", f"Message too large: at most {limit} octets are taken here")
    return reject(f"{size} octets, limit {limit}", reply)


def judge_hops(head: bytes, limit: int) -> Verdict:
    """554 5.4.6 for more than `limit` Received fields (RFC 5321 6.3)."""
    # Every field is at least counted here, which is cheap; only a suspect head is read field by field.
    if (b"\n" + head).lower().count(b"\nreceived") <= limit:
        return PASS
    hops = headers.count(head, b"received")
    if hops <= limit:
        return PASS
    return reject(f"{hops} Received fields, limit {limit}", Reply(554, "5.4.6", "Too many hops: this message loops"))
