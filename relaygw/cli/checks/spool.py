"""The spool: it opens, and holds nothing that had to be set aside. Only while the service does not have it open."""

from collections.abc import Iterator

from relaygw.cli.answer import CommandError
from relaygw.cli.checks.finding import Finding, error, warning
from relaygw.cli.direct import opened, run_now
from relaygw.config.schema import Config
from relaygw.spool.sqlite import SqliteSpool


def check(config: Config) -> Iterator[Finding]:
    if config.spool.kind == "memory":
        yield warning("spool.kind", "accepted mail is lost when the service stops", 'set kind = "sqlite"')
        return
    try:
        with opened(config) as spool:
            damaged = len(run_now(spool.damaged())) if isinstance(spool, SqliteSpool) else 0
    except CommandError as failure:
        yield error("spool", str(failure))
        return
    if damaged:
        message = f"{damaged} messages were set aside because they cannot be read"
        yield warning("spool", message, "see `relaygw spool damaged`")
