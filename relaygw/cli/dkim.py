"""`relaygw dkim`: signing keys and the DNS records that publish them."""

import argparse
import os
from pathlib import Path

from relaygw import keys
from relaygw.cli.answer import NO, Answer, CommandError, UsageError, table
from relaygw.cli.context import Context
from relaygw.cli.newfiles import make_folder
from relaygw.cli.records import DnsRecord, zone_line
from relaygw.cli.workdir import SELECTOR, quoted
from relaygw.config.signing import DkimKeyConfig
from relaygw.core import dkim_record
from relaygw.core.address import AddressError, normalize_domain


def arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="dkim_verb", metavar="VERB", required=True)
    generate_ = verbs.add_parser("generate", help="make a key and show its record and its table for the configuration")
    generate_.set_defaults(run=generate)
    generate_.add_argument("domain", metavar="DOMAIN")
    generate_.add_argument(
        "--selector", default=SELECTOR, metavar="S", help="its name in the DNS (default: %(default)s)"
    )
    generate_.add_argument("--algorithm", choices=("rsa", "ed25519"), default="rsa", help="default: %(default)s")
    generate_.add_argument("--output", metavar="FILE", help="default: dkim/DOMAIN.S.pem beside the configuration")
    record_ = verbs.add_parser("record", help="the DNS records of the configured keys")
    record_.set_defaults(run=record)
    record_.add_argument("domain", metavar="DOMAIN", nargs="?", help="only those of this domain")
    verbs.add_parser("list", help="the configured keys").set_defaults(run=list_)


def generate(options: argparse.Namespace, context: Context) -> Answer:
    domain, selector = _domain(options.domain), _domain(options.selector)
    folder = Path(os.path.abspath(context.path)).parent
    path = Path(options.output) if options.output else folder / "dkim" / f"{domain}.{selector}.pem"
    pem = keys.generate(options.algorithm)
    make_folder(path.parent)
    try:
        keys.write(path, pem)
    except FileExistsError:
        raise UsageError(f"{path} exists, and a key is never overwritten") from None
    entry = _record(domain, selector, pem)
    lines = ("[[dkim]]", *(f"{key} = {quoted(value)}" for key, value in _options(domain, selector, path, folder)))
    toml = "\n".join(lines)
    document = {"domain": domain, "selector": selector, "algorithm": options.algorithm, "private_key": str(path)}
    text = (
        f"Wrote {path}. Publish this record, then add the table to the configuration:\n\n{zone_line(entry)}\n\n{toml}"
    )
    return Answer(document={**document, "record": entry, "toml": toml}, text=text)


def record(options: argparse.Namespace, context: Context) -> Answer:
    wanted = _domain(options.domain) if options.domain else ""
    configured = [key for key in context.config.dkim if wanted in ("", key.domain)]
    if wanted and not configured:
        raise CommandError(f"no key is configured for {wanted}")
    records = [_record(key.domain, key.selector, _read(key)) for key in configured]
    return Answer(document=records, text="\n".join(map(zone_line, records)) or "No key is configured.")


def list_(_: argparse.Namespace, context: Context) -> Answer:
    found = [_listed(key) for key in context.config.dkim]
    rows = [(key["domain"], key["selector"], key["algorithm"], key["private_key"], key["error"]) for key in found]
    text = table(("DOMAIN", "SELECTOR", "ALGORITHM", "FILE", ""), rows) if rows else "No key is configured."
    return Answer(document=found, text=text, status=NO if any(key["error"] for key in found) else 0)


def _listed(key: DkimKeyConfig) -> dict[str, str]:
    listed = {"domain": key.domain, "selector": key.selector, "private_key": key.private_key}
    try:
        return {**listed, "algorithm": keys.algorithm(keys.load(_read(key))), "error": ""}
    except (keys.UnusableKey, CommandError) as error:
        return {**listed, "algorithm": "", "error": str(error)}


def _options(domain: str, selector: str, path: Path, folder: Path) -> tuple[tuple[str, str], ...]:
    """The options of the new table; the file is named as the configuration would, relative where it lies below."""
    absolute = Path(os.path.abspath(path))
    inside = absolute.is_relative_to(folder)
    file = absolute.relative_to(folder) if inside else absolute
    return ("domain", domain), ("selector", selector), ("private_key", str(file))


def _record(domain: str, selector: str, pem: bytes) -> DnsRecord:
    try:
        return DnsRecord(name=dkim_record.name(selector, domain), type="TXT", value=keys.record(pem))
    except keys.UnusableKey as error:
        raise CommandError(f"the key {selector} of {domain}: {error}") from None


def _read(key: DkimKeyConfig) -> bytes:
    try:
        return Path(key.private_key).read_bytes()
    except OSError as error:
        raise CommandError(f"the key {key.selector} of {key.domain}: {key.private_key}: {error.strerror}") from None


def _domain(text: str) -> str:
    try:
        return normalize_domain(text.removesuffix("."))
    except AddressError as error:
        raise UsageError(f"{text!r}: {error}") from None
