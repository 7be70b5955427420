"""`relaygw trace`: the life of a message, from the running service or from the history it left."""

import argparse
from typing import Any

from relaygw.cli.answer import DONE, NO, Answer, NotRunningError
from relaygw.cli.context import Context
from relaygw.journal.story import tell

MOST = 1000
"""Messages that are told of at once, as the service has it."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=run)
    parser.add_argument("text", metavar="ID|MESSAGE-ID|ADDRESS", help="a queue id, session id, Message-ID or address")
    parser.add_argument(
        "--limit",
        type=_count,
        default=50,
        metavar="N",
        help=f"of an address or a Message-ID: the latest N messages (default: %(default)s, at most {MOST})",
    )


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) <= MOST):
        raise argparse.ArgumentTypeError(f"{text!r:.20} is no number from 1 to {MOST}")
    return int(text)


def run(options: argparse.Namespace, context: Context) -> Answer:
    try:
        events = context.client.get("trace", text=options.text, limit=options.limit)["events"]
    except NotRunningError:
        events = _from_history(options, context)
    status = DONE if events else NO
    return Answer(document=events, text="\n".join(tell(events)) or "Nothing is known of it.", status=status)


def _from_history(options: argparse.Namespace, context: Context) -> list[dict[str, Any]]:
    from relaygw.config.paths import history_directory
    from relaygw.journal.history import lookup

    return lookup(history_directory(context.config), options.text, options.limit)
