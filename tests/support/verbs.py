"""For tests of verbs: a working directory as `init` writes it, and what the service would have left in its spool."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from relaygw.cli.direct import run_now
from relaygw.cli.main import main
from relaygw.config.load import load
from relaygw.core.record import Record
from relaygw.spool.sqlite import SqliteSpool

DATA = b"From: a@example.com\r\nSubject: x\r\n\r\nbody\r\n"
Run = Callable[..., tuple[int, Any, str]]
"""The fixture `run`: a verb's exit code, its document, and what people read on standard error."""


def init(folder: Path, *options: str) -> Path:
    """The folder, as `relaygw init` makes it for example.com and these options."""
    assert main(["init", str(folder), "--domain", "example.com", *options]) == 0
    return folder


def fill(folder: Path, *records: Record) -> None:
    """Put records into the spool as the service would have left them, each with DATA."""
    config = load(folder / "relaygw.toml")
    assert config.spool.path is not None
    spool = SqliteSpool(config.spool.path, None)
    spool.open()
    for record in records:
        sink = spool.sink()
        sink.write(DATA)
        placed = attrs.evolve(record, arrived=time.time() - 90, size=len(DATA))
        run_now(spool.commit(placed, sink, b"", 0.0))
    run_now(spool.close())
