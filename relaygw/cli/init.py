"""`relaygw init`: a complete working directory, from nothing to `twistd -n relaygw` in one step.

Everything is judged and made in memory before the first file is written, and read back as a configuration at the
end: what init writes, the service takes.
"""

import argparse
import datetime
import secrets
import shlex
from collections.abc import Mapping
from pathlib import Path

import attrs

from relaygw import keys
from relaygw.cli.answer import Answer, UsageError
from relaygw.cli.certificate import self_signed
from relaygw.cli.context import Context
from relaygw.cli.newfiles import make_folder, refuse_existing, where_it_was_said, write_all
from relaygw.cli.plan import make_plan
from relaygw.cli.records import DnsRecord, zone_line
from relaygw.cli.workdir import SELECTOR, Plan, key_file, render
from relaygw.config.load import ConfigError, parse
from relaygw.core import dkim_record

DEFAULT_OFFSET = 2000


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("directory", metavar="DIR", help="the directory to write; made when it is not there")
    add("--domain", action="append", required=True, metavar="D", help="a local domain; repeatable")
    add("--hostname", default="", metavar="H", help="our name; default: this machine's full name, or mail.D")
    user = "a user with a mailbox in every domain; a password not given is asked for; repeatable"
    add("--user", action="append", default=[], metavar="NAME:PASSWORD", help=user)
    add("--smarthost", default="", metavar="HOST:PORT", help="where all mail goes that is not local; default: by MX")
    add("--trust", action="append", default=[], metavar="CIDR", help="a network that may relay; repeatable")
    offset = "added to every standard port (default: %(default)s, on 127.0.0.1); 0: all addresses"
    add("--port-offset", type=int, default=DEFAULT_OFFSET, metavar="N", help=offset)


@attrs.frozen(kw_only=True)
class Made:
    """All that will be written, contents by path below the directory, and the DNS records that publish it."""

    plan: Plan
    users: tuple[str, ...]
    files: Mapping[str, bytes]
    records: tuple[DnsRecord, ...]


def run(options: argparse.Namespace, context: Context) -> Answer:
    if not options.directory:
        raise UsageError("nothing was written: the directory has no name")
    folder = Path(options.directory)
    refuse_existing(folder, ("relaygw.toml", "users", "console-token", "tls", "dkim", "state"))
    plan, users = make_plan(
        folder,
        domains=options.domain,
        hostname=options.hostname,
        users=options.user,
        smarthost=options.smarthost,
        trusted=options.trust,
        offset=options.port_offset,
    )
    made = _make(plan, users)
    with where_it_was_said():
        write_all(folder, made.files)
        make_folder(folder / "state")
    return Answer(document=_document(folder, made), text=_text(folder, made))


def _make(plan: Plan, users: Mapping[str, str]) -> Made:
    certificate, key = self_signed(plan.hostname, datetime.datetime.now(datetime.UTC))
    signing = {domain: keys.generate() for domain in plan.domains}
    text = render(plan)
    _prove(text, plan.path)
    files = {
        "tls/certificate.pem": certificate,
        "tls/private_key.pem": key,
        "users": _users_file(users),
        "console-token": f"{secrets.token_urlsafe(24)}\n".encode(),
        **{key_file(domain): pem for domain, pem in signing.items()},
        "relaygw.toml": text.encode(),
    }
    return Made(plan=plan, users=tuple(users), files=files, records=_records(plan, signing))


def _prove(text: str, path: str) -> None:
    """The arguments were judged one by one; together they may still not make a configuration."""
    try:
        parse(text, str(Path(path).absolute()))
    except ConfigError as error:
        raise UsageError(f"nothing was written:\n{error}") from None


def _users_file(users: Mapping[str, str]) -> bytes:
    lines = [f"{name} {hashed}" for name, hashed in users.items()]
    return "\n".join(["# Names and password hashes; edit with `relaygw user`.", *lines, ""]).encode()


def _records(plan: Plan, signing: Mapping[str, bytes]) -> tuple[DnsRecord, ...]:
    """The key of each domain; where mail comes and goes directly, also how the world finds us and knows us."""
    found = []
    for domain, pem in signing.items():
        name = dkim_record.name(SELECTOR, domain)
        found.append(DnsRecord(name=name, type="TXT", value=keys.record(pem)))
        found.append(DnsRecord(name=domain, type="MX", value=f"10 {plan.hostname}."))
        if plan.smarthost is None:
            found.append(DnsRecord(name=domain, type="TXT", value=f"v=spf1 a:{plan.hostname} mx -all"))
    return tuple(found)


def _document(folder: Path, made: Made) -> dict[str, object]:
    return {
        "directory": str(folder),
        "config": made.plan.path,
        "hostname": made.plan.hostname,
        "domains": list(made.plan.domains),
        "users": list(made.users),
        "listeners": dict(made.plan.endpoints),
        "console": made.plan.console,
        "files": list(made.files),
        "dns": list(made.records),
        "next": _next(made),
    }


def _next(made: Made) -> str:
    return f"twistd -n relaygw --config {shlex.quote(made.plan.path)}"


def _text(folder: Path, made: Made) -> str:
    zone = "\n".join(zone_line(record) for record in made.records)
    users = f"users {', '.join(made.users)}" if made.users else "no users yet (`relaygw user add`)"
    ports = ", ".join(f"{name} {endpoint.split(':')[1]}" for name, endpoint in made.plan.endpoints.items())
    check = f"relaygw --config {shlex.quote(made.plan.path)} check"
    return "\n".join(
        [
            f"Wrote {folder}: {made.plan.hostname} for {', '.join(made.plan.domains)}, {users}.",
            "".join(f"\n  {name}" for name in made.files).lstrip("\n"),
            f"Listeners: {ports}; console {made.plan.console.split(':')[1]} (token in {folder / 'console-token'}).",
            "\nPublish in the DNS, as zone file lines:\n",
            zone,
            f"\nJudge it:  {check}\nRun it:    {_next(made)}",
        ]
    )
