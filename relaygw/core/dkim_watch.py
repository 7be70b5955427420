"""What the DNS shows of our DKIM keys, what is wrong with it, and what comes next, in the operator's words."""

from collections.abc import Iterable

import attrs

from relaygw.core import dkim_record
from relaygw.core.dkim_rotation import WAITING, Key, Stage, Times, View
from relaygw.core.dns_check.finding import failed, texts_of
from relaygw.core.dns_check.signing import record_fault, revoked
from relaygw.core.question import Answer, Inquiry, Question

FORGOTTEN = 7 * 86400.0
"""Seconds after which a key that nobody published is worth a word."""


@attrs.frozen(kw_only=True)
class Sighting:
    """`fault` is "" where the record is right; `found` are the TXT records that stand there, as text."""

    view: View
    fault: str = ""
    found: tuple[str, ...] = ()


@attrs.frozen(kw_only=True, order=True)
class Alarm:
    """Something to do: `serious` where mail suffers already."""

    domain: str
    selector: str
    message: str
    serious: bool = False


def sight(key: Key) -> Inquiry[Sighting]:
    """Ask the DNS for the key's record."""
    answer = yield Question(dkim_record.name(key.selector, key.domain), "TXT")
    return judge(key, answer)


def judge(key: Key, answer: Answer) -> Sighting:
    if failed(answer):
        return Sighting(view=View.UNKNOWN, fault=f"the DNS does not answer: {answer.reason or 'no reason given'}")
    texts = texts_of(answer)
    found = tuple(text.decode("utf-8", "backslashreplace") for text in texts)
    if not texts:
        return Sighting(view=View.MISSING, fault="its record is not published")
    if len(texts) == 1 and revoked(texts[0]):
        return Sighting(view=View.EMPTY, fault="its record says that it is revoked (p= is empty)", found=found)
    fault = record_fault(texts, key.record)
    return Sighting(view=View.WRONG if fault else View.RIGHT, fault=fault, found=found)


def alarms(ring: Iterable[Key], now: float, times: Times) -> tuple[Alarm, ...]:
    """What is wrong with these keys; in order."""
    found = []
    for key in ring:
        message = _alarm(key, now, times)
        if message:
            serious = key.signs
            found.append(Alarm(domain=key.domain, selector=key.selector, message=message, serious=serious))
    return tuple(sorted(found))


def _alarm(key: Key, now: float, times: Times) -> str:
    shown = key.view not in (View.UNKNOWN, View.RIGHT)
    if key.signs:
        return f"mail is signed with it, and {key.fault}" if shown else ""
    if key.stage is Stage.RETIRED:
        left = max(0.0, key.since + times.keep - now)
        return f"mail that it signed may be under way for {_days(left)} more, and {key.fault}" if shown else ""
    if key.stage is Stage.REVOKED:
        return "it is revoked, and its record is still published" if key.view is View.RIGHT else ""
    if key.stage is Stage.GENERATED and now - key.since >= FORGOTTEN:
        return f"it waits for its record to be published, for {_days(now - key.since)} now"
    return ""


def next_step(key: Key, now: float, times: Times, automatic: bool = True) -> str:
    """What comes next for the key, and who does it."""
    by_whom = "by itself" if automatic else f"with: relaygw dkim rotate {key.domain}"
    if key.configured and key.stage in WAITING:
        return "it signs, because the configuration names it" + (
            "" if key.view is View.RIGHT else "; publish its record"
        )
    if key.stage is Stage.GENERATED:
        return "publish its record; it signs when the DNS shows it"
    if key.stage is Stage.PUBLISHED:
        left = max(0.0, (key.seen if key.seen is not None else now) + times.settle - now)
        return f"its record must be seen for {_days(left)} more; then it signs {by_whom}"
    if key.stage is Stage.SEEN:
        return f"it takes over {by_whom}"
    if key.stage is Stage.RETIRED:
        return (
            f"leave its record for {_days(max(0.0, key.since + times.keep - now))} more; then it is revoked {by_whom}"
        )
    if key.stage is Stage.REVOKED:
        done = key.view in (View.EMPTY, View.MISSING)
        what = "" if done else "publish the empty record, or remove it; then: "
        return f"{what}relaygw dkim forget {key.domain} {key.selector}"
    return "" if key.view in (View.RIGHT, View.UNKNOWN) else "publish its record"


def record_value(key: Key) -> str:
    """What its TXT record should say now."""
    return dkim_record.empty(key.algorithm) if key.stage is Stage.REVOKED else key.record


def _days(seconds: float) -> str:
    """A duration as people say it, never less than it is."""
    for unit, name in ((86400.0, "days"), (3600.0, "hours")):
        if seconds >= 2 * unit:
            return f"{-(-seconds // unit):.0f} {name}"
    return f"{-(-seconds // 60):.0f} minutes"
