"""`relaygw filters`: the uses of filters in their order, as the service has them, or else as the file says."""

import argparse

from relaygw.cli.answer import Answer, NotRunningError, table
from relaygw.cli.context import Context


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=run)


def run(_: argparse.Namespace, context: Context) -> Answer:
    notes = ""
    try:
        uses = context.client.get("filters")["filters"]
    except NotRunningError:
        from relaygw.control.app import filters_document

        uses, notes = filters_document(context.config), "the service is not running: this is what the file says"
    titles = ("NAME", "USE", "LISTENERS", "TIMEOUT", "ON ERROR", "MODE")
    rows = [
        (
            each["name"],
            each["use"],
            ", ".join(each["listeners"]),
            f"{each['timeout']:g}s",
            each["on_error"],
            each["mode"],
        )
        for each in uses
    ]
    return Answer(document=uses, text=table(titles, rows) if rows else "No filter is in use.", notes=notes)
