"""`relaygw dkim`: signing keys, the DNS records that publish them, and how one takes over from another."""

import argparse
import contextlib
import os
import time
from pathlib import Path

from relaygw import keybook, keys
from relaygw.cli import dkim_keys
from relaygw.cli.answer import DONE, NO, Answer, CommandError, UsageError, printable, table
from relaygw.cli.asking import Progress
from relaygw.cli.context import Context
from relaygw.cli.dkim_keys import domain_of, record_of, ring_of
from relaygw.cli.dkim_rotate import forget, revoke, rotate
from relaygw.cli.newfiles import make_folder, where_it_was_said
from relaygw.cli.records import DnsRecord, zone_line
from relaygw.cli.verbs import Verbs, add_verb
from relaygw.cli.workdir import SELECTOR, quoted
from relaygw.config.problem import ConfigError
from relaygw.config.schema import DkimKeyConfig
from relaygw.control.shapes import Json
from relaygw.core.dkim_rotation import Key, RotationError, add
from relaygw.core.dkim_watch import alarms
from relaygw.keybook import BookError

_ZONE = "ask this zone file or YAML mapping, not the network"


def arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="dkim_verb", metavar="VERB", required=True)
    generate_ = add_verb(verbs, "generate", "make a key and show its record; it signs once the DNS shows that")
    generate_.set_defaults(run=generate)
    generate_.add_argument("domain", metavar="DOMAIN", help="the domain it signs for")
    generate_.add_argument(
        "--selector", default=SELECTOR, metavar="S", help="its name in the DNS (default: %(default)s)"
    )
    generate_.add_argument(
        "--algorithm", choices=("rsa", "ed25519"), default="rsa", help="its kind (default: %(default)s)"
    )
    generate_.add_argument(
        "--output", metavar="FILE", help="where it is written (default: dkim/DOMAIN.S.pem beside the configuration)"
    )
    record_ = add_verb(verbs, "record", "the DNS records of the keys")
    record_.set_defaults(run=record)
    record_.add_argument("domain", metavar="DOMAIN", nargs="?", help="only those of this domain")
    check_ = add_verb(verbs, "check", "compare the DNS with the keys")
    check_.set_defaults(run=check)
    check_.add_argument("domain", metavar="DOMAIN", nargs="?", help="only those of this domain")
    check_.add_argument("--zone", default="", metavar="FILE", help=_ZONE)
    _rotation(verbs)
    add_verb(verbs, "list", "the keys and what has become of them").set_defaults(run=list_)


def _rotation(verbs: Verbs) -> None:
    rotate_ = add_verb(verbs, "rotate", "replace the keys of a domain: each time the next step that is possible")
    rotate_.set_defaults(run=rotate)
    rotate_.add_argument("domain", metavar="DOMAIN", help="the domain whose keys they are")
    rotate_.add_argument("--algorithm", choices=("rsa", "ed25519"), default="", help="only the key of this algorithm")
    rotate_.add_argument(
        "--selector", default="", metavar="S", help="the new key's name, or that of the key to sign with"
    )
    rotate_.add_argument("--force", action="store_true", help="sign with it now, whether the world can see it or not")
    rotate_.add_argument("--zone", default="", metavar="FILE", help=_ZONE)
    revoke_ = add_verb(verbs, "revoke", "declare a key that signs no more void, and show the record that says so")
    revoke_.set_defaults(run=revoke)
    revoke_.add_argument("--force", action="store_true", help="also while mail that it signed may be under way")
    forget_ = add_verb(verbs, "forget", "remove a revoked key, and its file")
    forget_.set_defaults(run=forget)
    for verb in (revoke_, forget_):
        verb.add_argument("domain", metavar="DOMAIN", help="the domain the key signed for")
        verb.add_argument("selector", metavar="SELECTOR", help="its name in the DNS")


def generate(options: argparse.Namespace, context: Context) -> Answer:
    domain, selector = domain_of(options.domain), domain_of(options.selector)
    _refuse_named(context, domain, selector)
    folder = Path(os.path.abspath(context.path)).parent
    path = Path(options.output) if options.output else folder / "dkim" / f"{domain}.{selector}.pem"
    pem = keys.generate(options.algorithm)
    with where_it_was_said():
        make_folder(path.parent)
        try:
            keys.write(path, pem)
        except FileExistsError:
            raise UsageError(f"{path} exists, and a key is never overwritten") from None
    key = dkim_keys.new_key(domain, selector, options.algorithm, os.path.abspath(path), keys.record(pem))
    notes = _kept(key, context, path)
    toml = "\n".join(("[[dkim]]", *(f"{name} = {quoted(value)}" for name, value in _options(key, path, folder))))
    entry = record_of(key)
    told = {"domain": domain, "selector": selector, "algorithm": options.algorithm, "private_key": str(path)}
    text = (
        f"Wrote {path}. Publish this record:\n\n{zone_line(entry)}\n\n"
        "The service signs with the key once it sees the record (relaygw dkim check). To sign with it at once, seen or "
        f"not, add the table to the configuration:\n\n{toml}"
    )
    return Answer(document={**told, "record": entry, "toml": toml}, text=text, notes=notes)


def _refuse_named(context: Context, domain: str, selector: str) -> None:
    """One name is one key. A configuration that is broken, or not there yet, names nothing."""
    with contextlib.suppress(ConfigError):
        named = {(each.domain, each.selector): each.private_key for each in context.config.dkim}
        if os.path.exists(named.get((domain, selector), "")):
            file = named[domain, selector]
            raise UsageError(f"{domain} has a key {selector} already, {file}, and a key is never overwritten")


def _kept(key: Key, context: Context, path: Path) -> str:
    """The key comes into the book; a file that was written for it and has no place there goes again."""
    if not os.path.exists(context.path):
        return f"there is no configuration {context.path}: the key signs when the table is added to one"
    try:
        keybook.change(keybook.book_path(context.path), lambda ring: add(ring, key))
    except RotationError as error:
        path.unlink()
        raise UsageError(str(error)) from None
    except BookError as error:
        path.unlink()
        raise CommandError(str(error)) from None
    return ""


def record(options: argparse.Namespace, context: Context) -> Answer:
    wanted = domain_of(options.domain) if options.domain is not None else ""
    config = context.config
    for each in config.dkim:
        if wanted in ("", each.domain):
            _usable(each)
    found = [key for key in ring_of(config) if wanted in ("", key.domain)]
    if wanted and not found:
        raise CommandError(f"no key is configured for {wanted}")
    records: list[DnsRecord] = [record_of(key) for key in found]
    return Answer(document=records, text="\n".join(map(zone_line, records)) or "No key is configured.")


def check(options: argparse.Namespace, context: Context) -> Answer:
    wanted = domain_of(options.domain) if options.domain is not None else ""
    config = context.config
    ring = tuple(key for key in ring_of(config) if wanted in ("", key.domain))
    if wanted and not ring:
        raise CommandError(f"no key is configured for {wanted}")
    sightings = dkim_keys.look(config, ring, options.zone, Progress(not options.json))
    now = time.time()
    after = dkim_keys.seen(ring, sightings, now)
    bad = alarms(after, now, keybook.times_of(config))
    unanswered = [key for key in after if not sightings[key.name].found and key.view.value == "unknown"]
    documents: list[Json] = [
        dkim_keys.document(key, config)
        | {"fault": key.fault, "found": list(sightings[key.name].found), "record": record_of(key)}
        for key in after
    ]
    status = NO if bad or unanswered else DONE
    return Answer(document={"ok": status == DONE, "keys": documents}, text=_checked(documents), status=status)


def _checked(documents: list[Json]) -> str:
    lines = []
    for key in documents:
        word = "WRONG" if key["problem"] else "?" if key["dns"] == "unknown" else "ok" if not key["fault"] else "-"
        what = key["problem"] or key["fault"] or "its record is right"
        lines.append(f"{word:<6}{key['record']['name']}  {key['stage']}: {printable(what)}")
        lines += [f"      next: {key['next']}"] if key["next"] else []
        lines += [f"      {zone_line(key['record'])}"] if key["fault"] and key["dns"] != "unknown" else []
    return "\n".join(lines) or "No key is configured."


def list_(_: argparse.Namespace, context: Context) -> Answer:
    config = context.config
    known = {key.name: dkim_keys.document(key, config) for key in ring_of(config)}
    named = {(each.domain, each.selector): each for each in config.dkim}
    found = [known.get(name) or _broken(each) for name, each in named.items()]
    found = [
        key | {"error": _fault(key["private_key"])} for key in (*found, *(known[n] for n in known if n not in named))
    ]
    rows = [
        (key["domain"], key["selector"], key["algorithm"], key["stage"], "yes" if key["signs"] else "no", _remark(key))
        for key in found
    ]
    text = table(("DOMAIN", "SELECTOR", "ALGORITHM", "STAGE", "SIGNS", ""), rows) if rows else "No key is configured."
    return Answer(document=found, text=text, status=NO if any(key["error"] for key in found) else DONE)


def _remark(key: Json) -> str:
    return str(f"{key['private_key']}: {key['error']}" if key["error"] else key["problem"] or key["next"])


def _broken(entry: DkimKeyConfig) -> Json:
    """A key of the configuration of which nothing is known but its name."""
    unknown = {
        "algorithm": "",
        "stage": "signing",
        "since": "",
        "seen": "",
        "dns": "unknown",
        "problem": "",
        "next": "",
    }
    flags = {"signs": False, "configured": True, "forced": False}
    return {"domain": entry.domain, "selector": entry.selector, "private_key": entry.private_key, **unknown, **flags}


def _fault(path: str) -> str:
    try:
        keys.load(Path(path).read_bytes())
    except OSError as error:
        return error.strerror or str(error)
    except keys.UnusableKey as error:
        return str(error)
    return ""


def _usable(entry: DkimKeyConfig) -> None:
    try:
        keys.load(Path(entry.private_key).read_bytes())
    except OSError as error:
        message = f"the key {entry.selector} of {entry.domain}: {entry.private_key}: {error.strerror}"
        raise CommandError(message) from None
    except keys.UnusableKey as error:
        raise CommandError(f"the key {entry.selector} of {entry.domain}: {error}") from None


def _options(key: Key, path: Path, folder: Path) -> tuple[tuple[str, str], ...]:
    """The options of the new table; the file is named as the configuration would, relative where it lies below."""
    absolute = Path(os.path.abspath(path))
    inside = absolute.is_relative_to(folder)
    file = absolute.relative_to(folder) if inside else absolute
    return ("domain", key.domain), ("selector", key.selector), ("private_key", str(file))
