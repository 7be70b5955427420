"""`relaygw tls`: what TLS with next hops came to on a day, from the journal's history, as TLS reports have it."""

import argparse
import time
from collections.abc import Iterator

from relaygw.cli.answer import DONE, NO, Answer
from relaygw.cli.context import Context
from relaygw.core.tls_report import Report, Reporter, reports


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=run)
    parser.add_argument(
        "day", metavar="DAY", nargs="?", type=_day, help="such as 2026-10-05, in UTC (default: yesterday)"
    )
    parser.add_argument("--domain", metavar="D", default="", help="only this domain of recipients")


def _day(text: str) -> str:
    try:
        return time.strftime("%Y-%m-%d", time.strptime(text, "%Y-%m-%d"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day such as 2026-10-05") from None


def run(options: argparse.Namespace, context: Context) -> Answer:
    from relaygw.config.paths import history_directory
    from relaygw.journal.history import events_of

    config = context.config
    day = options.day or time.strftime("%Y-%m-%d", time.gmtime(time.time() - 86400))
    contact = config.postmaster or f"postmaster@{config.hostname}"
    reporter = Reporter(name=config.hostname, host=config.hostname, contact=str(contact))
    checks = events_of(history_directory(config), day, "tls_checked")
    domain = options.domain.lower().removesuffix(".")
    found = reports((told for told in checks if not domain or told["domain"] == domain), day, reporter)
    text = "\n".join(line for report in found for line in _lines(report))
    return Answer(document=found, text=text or f"No next hop was talked to on {day}.", status=DONE if found else NO)


def _lines(report: Report) -> Iterator[str]:
    for told in report["policies"]:
        policy, summary = told["policy"], told["summary"]
        good, bad = summary["total-successful-session-count"], summary["total-failure-session-count"]
        yield f"{policy['policy-domain']}  {policy['policy-type']}  {good} well, {bad} not"
        for detail in told.get("failure-details", ()):
            why = detail.get("additional-information", "")
            words = f"{detail['result-type']} at {detail.get('receiving-mx-hostname', '?')}"
            yield f"  {detail['failed-session-count']} x {words}{': ' if why else ''}{why}"
