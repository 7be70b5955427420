"""`relaygw ban`: addresses, networks and logins that are closed for a while. Where the service does not run, its file
is changed instead, for the next start.
"""

import argparse
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from relaygw import bans
from relaygw.cli.answer import DONE, NO, Answer, CommandError, NotRunningError, UsageError, table
from relaygw.cli.context import Context
from relaygw.cli.verbs import add_verb
from relaygw.config.schema import Config
from relaygw.control.asked import BadRequest
from relaygw.core.bans import Ban, Bans


def arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="ban_verb", metavar="VERB", required=True)
    for name, sentence, run in (
        ("list", "what is banned, until when and why", list_),
        ("add", "ban an address, a network or a login", add),
        ("lift", "end the bans of an address, a network or a login", lift),
    ):
        verb = add_verb(verbs, name, sentence)
        verb.set_defaults(run=run)
        if name != "list":
            verb.add_argument("subject", metavar="SUBJECT", help="192.0.2.7, 2001:db8::/48, or a login")
        if name == "add":
            verb.add_argument(
                "--for",
                dest="duration",
                metavar="DURATION",
                default="",
                help='how long, such as "1h", "7d" (default: 1d)',
            )
            verb.add_argument("--reason", metavar="TEXT", default="", help="kept with the ban")


def list_(_: argparse.Namespace, context: Context) -> Answer:
    document = _asked(context, "list", {})
    rows = [(each["kind"], each["subject"], each["until"], each["reason"]) for each in document["bans"]]
    text = table(("KIND", "SUBJECT", "UNTIL", "REASON"), rows) if rows else "Nothing is banned."
    return Answer(document=document, text=text)


def add(options: argparse.Namespace, context: Context) -> Answer:
    given = {"subject": options.subject, "for": options.duration, "reason": options.reason}
    document = _asked(context, "add", given)
    return Answer(
        document=document,
        text="\n".join(f"{each['subject']}: banned until {each['until']}." for each in document["bans"]),
    )


def lift(options: argparse.Namespace, context: Context) -> Answer:
    document = _asked(context, "lift", {"subject": options.subject})
    lifted = document["bans"]
    text = "\n".join(f"{each['subject']}: the ban is lifted." for each in lifted) or f"{options.subject} is not banned."
    return Answer(document=document, text=text, status=DONE if lifted else NO)


def _asked(context: Context, verb: str, given: Mapping[str, object]) -> Any:
    try:
        return context.client.get("bans") if verb == "list" else context.client.post("bans", verb, body=given)
    except NotRunningError:
        return _alone(context.config, verb, given)


def _alone(config: Config, verb: str, given: Mapping[str, object]) -> Any:
    """Nobody else has the file now."""
    from relaygw.control.bans import change, list_

    path = os.path.join(config.state, bans.FILE)
    try:
        kept = _Kept(bans.load(path, bans.policy_of(config)))
    except ValueError as error:
        raise CommandError(str(error)) from None
    try:
        document = list_(kept) if verb == "list" else change(kept, verb, given)
    except BadRequest as error:
        raise UsageError(str(error)) from None
    if verb != "list":
        bans.save(path, bans.dump(kept.state))
    return document


class _Kept:
    """The bans of a file, as the running service would answer for them."""

    def __init__(self, state: Bans) -> None:
        self.state = state

    def all(self) -> Sequence[Ban]:
        return self.state.all(time.time())

    def add(self, subject: str, seconds: float, reason: str) -> Ban:
        return self.state.add(subject, seconds, reason, time.time())

    def lift(self, subject: str) -> Sequence[Ban]:
        return [ban for ban in self.state.lift(subject) if ban.until > time.time()]
