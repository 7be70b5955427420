"""`relaygw check`: the configuration and everything it names, judged before mail depends on it.

Exit code 0: nothing is wrong (there may be warnings); 1: something is; 2: the configuration cannot be used at all.
"""

import argparse

from relaygw.cli.answer import DONE, NO, USAGE, Answer, NotRunningError, UnreachableError, printable
from relaygw.cli.checks import certificate, files, logins, mail, parts, ports, relaying, reports, spool, tables
from relaygw.cli.checks.finding import Finding, Level, error, warning
from relaygw.cli.context import Context
from relaygw.config.problem import ConfigError
from relaygw.config.schema import Config

ALWAYS = (
    files.check,
    parts.check,
    certificate.check,
    logins.check,
    mail.check,
    relaying.check,
    reports.check,
    tables.check,
)
"""Checks that need nothing of the service."""

DOWN = (ports.check, spool.check)
"""Checks of what the service has in its hands while it runs."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=run)


def run(_: argparse.Namespace, context: Context) -> Answer:
    try:
        config = context.config
    except ConfigError as failure:
        found = [
            error(problem.path, f"{problem.message} ({problem.file}:{problem.line})", problem.hint)
            for problem in failure.problems
        ]
        return _answer(context, found, USAGE, str(failure))
    found = [finding for check in ALWAYS for finding in check(config)] + _by_service(config, context)
    bad = any(finding.level is Level.ERROR for finding in found)
    return _answer(context, found, NO if bad else DONE, "\n".join(map(str, found)))


def _by_service(config: Config, context: Context) -> list[Finding]:
    try:
        running = context.client.get("status")
    except NotRunningError:
        return [finding for check in DOWN for finding in check(config)]
    except UnreachableError as failure:
        return [error("control.socket", str(failure), "restart the service")]
    if running.get("config") != config.path:
        return [warning("control.socket", f"the running service has another configuration: {running.get('config')}")]
    return []


def _answer(context: Context, found: list[Finding], status: int, told: str) -> Answer:
    document = {
        "ok": status == DONE,
        "config": context.path,
        "findings": [
            {"level": each.level.value, "path": each.path, "message": each.message, "advice": each.advice}
            for each in found
        ],
    }
    return Answer(document=document, text=_text(context, found, told), status=status)


def _text(context: Context, found: list[Finding], told: str) -> str:
    errors = sum(finding.level is Level.ERROR for finding in found)
    summary = f"{context.path}: {_number(errors, 'error')}, {_number(len(found) - errors, 'warning')}"
    return "\n".join([*map(printable, told.splitlines()), summary])


def _number(count: int, noun: str) -> str:
    return f"{count or 'no'} {noun}{'' if count == 1 else 's'}"
