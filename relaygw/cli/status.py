"""`relaygw status`: what the running service tells of itself."""

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

from relaygw.cli.answer import Answer, shown, table
from relaygw.cli.context import Context


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=run)


def run(_: argparse.Namespace, context: Context) -> Answer:
    document = context.client.get("status")
    lines = [f"{name}: {shown(value)}" for name, value in _flat(document)]
    listeners = [tuple(map(str, each.values())) for each in document.get("listeners", ())]
    if listeners:
        titles = [title.upper() for title in document["listeners"][0]]
        lines += ["", table(titles, listeners)]
    return Answer(document=document, text="\n".join(lines))


def _flat(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name} ")
        elif name != "listeners":
            yield prefix + name, value
