"""Events as lines for people: who did what, in the words and the order of the map (`relaygw/__init__.py`).

    05:34:53.120  ingress  mx accepts 192.0.2.1
    05:34:53.160  spool    01h… committed: from <a@example.org> to <b@example.net>, 2048 octets
    05:34:53.201  egress   01h… delivered to <b@example.net> by mx.example.net: 250 2.0.0 Ok

The second column is the part of relaygw that acted. What peers said is shown with everything unprintable escaped, so
that it can neither break a line nor drive a terminal.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

Told = Mapping[str, Any]
_Teller = Callable[["_Facts"], str]


def plain(value: object) -> str:
    """The text with all that is not printable escaped."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


class _Facts:
    """The fields of an event, printable; what is missing is empty."""

    def __init__(self, told: Told) -> None:
        self._told = told

    def __getitem__(self, name: str) -> str:
        value = self._told.get(name, "")
        return ", ".join(map(plain, value)) if isinstance(value, list | tuple) else plain(value)

    def path(self, name: str) -> str:
        """An address, or several, each in angle brackets."""
        value = self._told.get(name, "")
        listed = value if isinstance(value, list | tuple) else [value]
        more = self._told.get(f"{name}_count", 0)
        rest = [f"{more - len(listed)} more"] if isinstance(more, int) and more > len(listed) else []
        return ", ".join([f"<{plain(text).removeprefix('<').removesuffix('>')}>" for text in listed] + rest)

    def after(self, lead: str, name: str, end: str = "") -> str:
        """`lead` and the value where there is one."""
        value = self[name]
        return f"{lead}{value}{end}" if value else ""


def _connected(e: _Facts) -> str:
    return f"{e['listener']} accepts {e['client'] or 'a local client'}"


def _disconnected(e: _Facts) -> str:
    return (
        f"the session ends: {e['cause']}{e.after(' after ', 'commands', ' commands')}{e.after(', ', 'seconds', ' s')}"
    )


def _login_refused(e: _Facts) -> str:
    return f"login of {e['login'] or 'nobody'} refused ({e['mechanism']}) from {e['client']}: {e['reason']}"


def _judged(e: _Facts) -> str:
    shadow = " (in shadow, without effect)" if e["shadow"] else ""
    about = f" about {e.path('recipient')}" if e["recipient"] else ""
    return f"{e['filter']} asked at {e['phase']}{about} answers {e['action']}{e.after(': ', 'reason')}{shadow}"


def _filter_broke(e: _Facts) -> str:
    return f"{e['filter']} broke at {e['phase']}: {e['error']}; instead: {e['on_error']}"


def _questions_limited(e: _Facts) -> str:
    whose = "this message" if e["limit"] == "message" else f"mail from {e['client']}"
    within = "" if e["limit"] == "message" else " within a minute"
    return f"{whose} has asked the DNS {e['most']} times{within}: no more of its questions are asked"


def _refused(e: _Facts) -> str:
    names = "recipient" if e["recipient"] else "recipients"
    about = f" for {e.path(names)}" if e[names] else ""
    return f"{e['command']}{about} refused: {e['reply']}{e.after(' (', 'reason', ')')}"


def _accepted(e: _Facts) -> str:
    named = e.after(", Message-ID ", "message_id")
    by = e.after(", login ", "login")
    return (
        f"committed ({e['origin']}): from {e.path('sender')} to {e.path('recipients')}, {e['size']} octets{named}{by}"
    )


def _old_client(e: _Facts) -> str:
    how = e.after("over ", "tls") or "without TLS"
    return f"{e['client']} sends mail {how} to {e['listener']}{e.after(', login ', 'login')}"


def _rewritten(e: _Facts) -> str:
    if e["reason"]:
        return f"{e['rewriter']} leaves it as it is on the way out: {e['reason']}"
    what = f"from {e.path('sender')}{e.after(', From: ', 'header_from')}"
    return f"{e['rewriter']} changes it{e.after(' for the route ', 'route')}: {what}"


def _expanded(e: _Facts) -> str:
    owner = f", as {e['list_id'] or 'this message'} from {e.path('sender')}" if e["sender"] else ""
    goals = e.path("addresses") if e["addresses"] else "nobody"
    return f"{e.path('recipient')} leads to {goals} ({e['tables']}){owner}"


def _quota_exceeded(e: _Facts) -> str:
    return f"held: {e['reason']}{'; its owner and the postmaster are told' if e['told'] else ''}"


def _pressure(e: _Facts) -> str:
    return e.after("no more mail is accepted: ", "reasons") or "mail is accepted again"


def _tls_checked(e: _Facts) -> str:
    where = f"{e['host']} for {e['domain']} ({e['mode']}{e.after(', ', 'policy_type')})"
    if not e["result"]:
        return f"TLS with {where}: {e['tls']} {e['cipher']}"
    anyway = ", mail goes there all the same" if e["delivering"] else ""
    return f"TLS with {where}: {e['result']}{e.after(': ', 'reason')}{anyway}"


def _policy_not_renewed(e: _Facts) -> str:
    return f"the policy of {e['domain']} ({e['mode']}) holds for {e['seconds']} s more: {e['reason']}"


def _attempted(e: _Facts) -> str:
    host = e["host"] or e["transport"]
    where = f" by {host}{e.after(' [', 'address', ']') if e['host'] else ''}{e.after(' over ', 'tls')}"
    doubt = " (the answer was lost: it may have arrived)" if e["uncertain"] else ""
    again = e.after("; retry at ", "next_due")
    head = f"{e['status']} at attempt {e['attempts']} to {e.path('recipient')}"
    return f"{head}{where}: {e['reply']}{doubt}{e.after(' (', 'seconds', ' s)')}{again}"


def _throttled(e: _Facts) -> str:
    what = "rests" if e["action"] == "rest" else "is kept slow"
    return f"{e['destination']} {what} for {e['seconds']} s: {e['reason']}"


def _operated(e: _Facts) -> str:
    about = f" {e.path('recipients')}" if e["recipients"] else ""
    return f"{e['verb']}{about}{e.after(' to ', 'to')} by the operator{e.after(': ', 'reason')}"


def _held_by_rule(e: _Facts) -> str:
    return f"{'quarantined' if e['quarantined'] else 'held'} by rule {e['rule']}: {e['reason']}"


def _key_trouble(e: _Facts) -> str:
    return f"DKIM key {e['selector']} of {e['domain']}{e.after(': ', 'problem') or ' is in order again'}"


def _reloaded(e: _Facts) -> str:
    return e.after("not reloaded: ", "errors") or f"reloaded{e.after('; to take effect at a restart: ', 'waiting')}"


_TELLERS: dict[str, tuple[str, _Teller]] = {
    "connected": ("ingress", _connected),
    "disconnected": ("ingress", _disconnected),
    "secured": ("ingress", lambda e: f"{e['version']} begins, {e['cipher']}"),
    "logged_in": ("ingress", lambda e: f"{e['login']} logs in ({e['mechanism']})"),
    "login_refused": ("ingress", _login_refused),
    "banned": ("ingress", lambda e: f"{e['subject']} is banned ({e['kind']}): {e['reason']}"),
    "lifted": ("ingress", lambda e: f"{e['subject']} is no longer banned: {e['reason']}"),
    "judged": ("filters", _judged),
    "filter_broke": ("filters", _filter_broke),
    "questions_limited": ("filters", _questions_limited),
    "refused": ("ingress", _refused),
    "line_ends_repaired": ("ingress", lambda e: f"bare LF from {e['client']} repaired ({e['line_ends']})"),
    "forgery_removed": ("ingress", lambda e: f"forged Authentication-Results from {e['client']} removed"),
    "old_client": ("ingress", _old_client),
    "rewritten": ("ingress", _rewritten),
    "expanded": ("ingress", _expanded),
    "quota_exceeded": ("ingress", _quota_exceeded),
    "pressure_changed": ("service", _pressure),
    "accepted": ("spool", _accepted),
    "discarded": (
        "filters",
        lambda e: f"discarded: from {e.path('sender')} to {e.path('recipients')}{e.after(': ', 'reason')}",
    ),
    "attempted": ("egress", _attempted),
    "tls_checked": ("egress", _tls_checked),
    "policy_not_renewed": ("egress", _policy_not_renewed),
    "reported": ("queue", lambda e: f"report ({e['kind']}) about {e.path('recipients')} made: {e['report_id']}"),
    "unreported": ("queue", lambda e: f"nobody is told about {e.path('recipients')}: {e['reason']}"),
    "completed": ("queue", lambda e: f"done after {e['seconds']} s: no recipient waits, the record left the spool"),
    "throttled": ("queue", _throttled),
    "operated": ("control", _operated),
    "purged": ("queue", lambda e: f"gone from the trash: {e['reason']}"),
    "held_by_rule": ("ingress", _held_by_rule),
    "rule_changed": ("control", lambda e: f"{e['verb']} rule {e['rule']}{e.after(': ', 'reason')}"),
    "imported": ("spool", lambda e: f"imported from {e['archive']}: from {e.path('sender')} to {e.path('recipients')}"),
    "mailbox_opened": ("mailbox", lambda e: f"{e['login']} reads over {e['protocol']} from {e['client']}"),
    "key_advanced": ("service", lambda e: f"DKIM key {e['selector']} of {e['domain']}: {e['before']} -> {e['stage']}"),
    "key_trouble": ("service", _key_trouble),
    "task_failed": ("service", lambda e: f"{e['task']} failed: {e['error']}"),
    "clock_changed": ("service", lambda e: f"the system's clock was set, by {e['seconds']} s"),
    "started": ("service", lambda e: f"relaygw {e['version']} listens: {e['listeners']}"),
    "stopped": ("service", lambda e: f"stopped, {e['unfinished']} attempts unfinished"),
    "reloaded": ("service", _reloaded),
    "set_aside": ("spool", lambda e: f"set aside: {e['error']}"),
}  # fmt: skip


def tell(events: Iterable[Told]) -> list[str]:
    """The lines for people, a line with the date before the first event of each day."""
    lines: list[str] = []
    day = ""
    for told in events:
        today, _, clock = str(told.get("time", "")).rstrip("Z").partition("T")
        if today != day:
            lines.append(plain(today))
            day = today
        lines.append(f"{plain(clock)}  {_sentence(told)}")
    return lines


def _sentence(told: Told) -> str:
    part, teller = _TELLERS.get(str(told.get("event", "")), ("", _unknown))
    if told.get("route") and part == "ingress":  # changed on its way out, and not as it came in
        part = "egress"
    about = plain(told.get("queue_id") or told.get("session") or "")
    return f"{part:<8} {about + '  ' if about else ''}{teller(_Facts(told))}"


def _unknown(e: _Facts) -> str:
    """An event of a newer program: its name is better than silence."""
    return e["event"]
