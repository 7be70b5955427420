"""`relaygw VERB …`: finds the verb, runs it, prints its answer, and turns every way it can end into an exit code.

One module per verb, imported when it is the one asked for, so that `relaygw --help` answers at once. `--config` and
`--json` may stand before or after the verb.
"""

import argparse
import contextlib
import errno
import importlib
import io
import json
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from relaygw import __version__
from relaygw.cli.answer import DONE, NO, USAGE, Answer, CommandError, UsageError, harmless, json_text
from relaygw.cli.context import Context
from relaygw.cli.verbs import add_verb

VERBS = {
    "init": "write a new, working directory: configuration, certificate, DKIM keys, users",
    "check": "judge the configuration and everything it names",
    "status": "what the running service is doing",
    "queue": "list, show, explain, hold, release, retry, reroute, remove or bounce queued messages, and undo that",
    "spool": "verify, export, import, upgrade or reindex the spool; what was set aside",
    "trace": "the life of a message, from connect to final reply",
    "explain": "what would become of a message, from the door to the next hop, and why",
    "route": "where a message from SENDER to RECIPIENT would go, and why",
    "auth": "who sent a stored message: SPF, DKIM, DMARC, ARC and iprev, with every question to the DNS",
    "dns": "compare the DNS with the configuration, and say what to publish",
    "dkim": "make, show, check and rotate DKIM keys and their DNS records",
    "user": "add, remove and list users, set passwords",
    "ban": "list, add and lift bans of addresses, networks and logins",
    "table": "list, show and look up tables; follow and check aliases",
    "tls": "what TLS with next hops came to on a day, as reports tell it",
    "hold": "list, add and remove rules that hold mail as it comes in",
    "filters": "the filters in use, in their order",
    "reload": "have the running service read its configuration again",
}

DESCRIPTION = "Operate relaygw, a mail relay and gateway."

INTERRUPTED = 130
"""What a shell says of a command ended by Ctrl-C."""

EPILOG = """exit codes: 0 done; 1 the answer is no, or a check failed; 2 wrong usage, or a file or configuration
that cannot be used; 3 the service cannot be reached"""


class Parser(argparse.ArgumentParser):
    """Tells wrong usage as argparse does, and then leaves the ending to `main`, which may owe a document."""

    def error(self, message: str) -> NoReturn:
        _tell(f"{self.format_usage()}{self.prog}: error: {message}")
        raise UsageError(message)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    _stand_in_for_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name in any script must not end a command
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        given, rest = _globals(words)
        parser = make_parser(rest[0] if rest and rest[0] in VERBS else "")
        options = parser.parse_args(rest, given)
    except UsageError as error:
        # People have read the usage already.
        if "--json" in words:
            _write_error(str(error))
        return USAGE
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else USAGE
    if not options.verb:
        parser.print_help(sys.stderr)
        if options.json:
            _write_error("say which verb")
        return USAGE
    try:
        return _run(options)
    except BrokenPipeError:  # whoever read us (`| head`) has enough
        _write_no_more()
        return DONE
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(options: argparse.Namespace) -> int:
    from relaygw.config.problem import ConfigError

    try:
        answer: Answer = options.run(options, Context(options.config))
    except ConfigError as error:
        problems = [{"path": each.path, "message": str(each), "line": each.line} for each in error.problems]
        return _fail("the configuration cannot be used:\n" + str(error), USAGE, options.json, problems)
    except CommandError as error:
        return _fail(str(error), error.status, options.json)
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        return _fail(f"{name}{error.strerror or error}", NO, options.json)
    try:
        _write(answer, options.json)
    except BrokenPipeError:
        raise
    except OSError as error:  # what was asked for is done, but nobody can know what came of it
        _write_no_more()
        return _fail(f"the answer cannot be written: {error.strerror or error}", NO, as_json=False)
    return answer.status


def _stand_in_for_closed_streams() -> None:
    """No file of ours may be opened in the place of a stream that whoever started us has closed (`>&-`), and what is
    meant for standard error must not go to standard output."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # for as long as the process lives


def _write_no_more() -> None:
    """Else the interpreter would try once more at its exit, and complain."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _write(answer: Answer, as_json: bool) -> None:
    if sys.stdout is None:
        raise OSError(errno.EBADF, "standard output is closed")
    if as_json:
        _print_json(answer.document)
    elif answer.text:
        print(harmless(answer.text))
    if answer.notes:
        _tell(harmless(answer.notes))
    sys.stdout.flush()


def _write_error(sentence: str, problems: Sequence[object] = ()) -> None:
    document = {"error": sentence, **({"problems": problems} if problems else {})}
    if sys.stdout is None:
        return
    try:
        _print_json(document)
        sys.stdout.flush()
    except OSError:
        _write_no_more()


def _print_json(document: object) -> None:
    text = json_text(document)
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:  # a terminal of another time
        text = json.dumps(document, indent=2)
    print(text)


def _fail(sentence: str, status: int, as_json: bool, problems: Sequence[object] = ()) -> int:
    if as_json:
        _write_error(sentence, problems)
    _tell(f"relaygw: {harmless(sentence)}")
    return status


def _tell(text: str) -> None:
    """For people; where they cannot be told, the exit code is what there is."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def _globals(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """`--config` and `--json`, wherever they stand before a `--`, and the arguments without them."""
    shared = Parser(prog="relaygw", add_help=False, allow_abbrev=False)
    _add_globals(shared)
    end = arguments.index("--") if "--" in arguments else len(arguments)
    if "--config" in arguments[end - 1 : end]:
        return argparse.Namespace(), list(arguments)
    given, rest = shared.parse_known_args(list(arguments[:end]))
    return given, [*rest, *arguments[end:]]


def _add_globals(parser: argparse.ArgumentParser) -> None:
    where = "default: $RELAYGW_CONFIG, then /etc/relaygw/relaygw.toml"
    parser.add_argument("--config", metavar="FILE", default="", help=where)
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of text")


def make_parser(verb: str) -> argparse.ArgumentParser:
    """The parser in full for the verb, and by name only for the others."""
    plain = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog="relaygw", description=DESCRIPTION, epilog=EPILOG, formatter_class=plain, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"relaygw {__version__}")
    _add_globals(parser)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    for name, sentence in VERBS.items():
        below = add_verb(verbs, name, sentence)
        if name == verb:
            importlib.import_module(f"relaygw.cli.{name}").arguments(below)
    return parser
