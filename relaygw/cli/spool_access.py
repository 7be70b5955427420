"""The spool for the verbs of `relaygw spool`: to look at beside the service, or to change, through it or without."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from relaygw.cli.answer import CommandError, NotRunningError, UsageError
from relaygw.cli.context import Context
from relaygw.control.shapes import Json

if TYPE_CHECKING:
    from relaygw.spool.desk import SpoolDesk
    from relaygw.spool.reading import Reading


@contextmanager
def reading_of(context: Context) -> Iterator["Reading"]:
    """The spool, to be looked at, as its owner: no file must be left behind that the service could not open."""
    from relaygw.cli.direct import as_owner
    from relaygw.config.paths import spool_directory
    from relaygw.interfaces import SpoolError
    from relaygw.spool.reading import Reading

    if context.config.spool.kind == "memory":
        raise UsageError("this spool is in memory only")
    path = spool_directory(context.config)
    try:
        os.stat(path)
    except FileNotFoundError:
        raise CommandError(f"there is no spool in {path} yet") from None
    try:
        with as_owner(path), Reading(path) as reading:
            yield reading
    except SpoolError as error:
        raise CommandError(str(error)) from None


@contextmanager
def desk_of(context: Context) -> Iterator[Callable[[str, Json], Json]]:
    """Changes to the spool, by the service or by ourselves."""
    client = context.client
    try:
        client.get("filters")
    except NotRunningError:
        with near_desk(context) as desk:
            yield lambda verb, body: _ask_near(desk, verb, body)
        return
    yield lambda verb, body: client.post("spool" if verb in _OWN else "damaged", verb, body=body)


_OWN = ("import", "reindex")
"""What is about the spool as a whole, and not about messages that were set aside."""


def _ask_near(desk: "SpoolDesk", verb: str, body: Json) -> Json:
    from relaygw.cli.direct import run_now
    from relaygw.control import spool
    from relaygw.control.asked import BadRequest
    from relaygw.interfaces import SpoolError

    try:
        if verb == "import":
            return run_now(spool.take_in(desk, body))
        return run_now(spool.reindex(desk, body) if verb == "reindex" else spool.change(desk, verb, body))
    except BadRequest as error:
        raise UsageError(str(error)) from None
    except SpoolError as error:
        raise CommandError(str(error)) from None


@contextmanager
def near_desk(context: Context) -> Iterator["SpoolDesk"]:
    from relaygw.cli.direct import journal, opened
    from relaygw.config.paths import spool_directory
    from relaygw.spool.desk import SpoolDesk
    from relaygw.spool.sqlite import SqliteSpool

    config = context.config
    if config.spool.kind == "memory":
        raise UsageError("this spool is in memory only")
    if not os.path.isdir(spool_directory(config)):
        raise CommandError(f"there is no spool in {spool_directory(config)} yet: start the service once")
    with opened(config) as spool, journal(config) as write:
        assert isinstance(spool, SqliteSpool)
        yield SpoolDesk(spool, now=time.time, write_event=write)
