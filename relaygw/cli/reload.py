"""`relaygw reload`: the service reads its configuration again; a bad file changes nothing."""

import argparse

from relaygw.cli.answer import DONE, NO, Answer, printable
from relaygw.cli.context import Context


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=run)


def run(_: argparse.Namespace, context: Context) -> Answer:
    document = context.client.post("reload")
    if document["reloaded"]:
        waiting = ", ".join(map(printable, document["waiting"]))
        notes = f"Waiting for a restart: {waiting}." if waiting else ""
        return Answer(document=document, text="The new configuration is in use.", notes=notes, status=DONE)
    problems = "\n".join(map(printable, document["problems"]))
    return Answer(document=document, text="", notes=f"Nothing changed:\n{problems}", status=NO)
