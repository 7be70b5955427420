"""What the verbs of `relaygw dkim` share: keys as documents, a look at the DNS, and telling the service to look."""

import time
from collections.abc import Callable, Iterable, Mapping

import attrs

from relaygw import keybook
from relaygw.cli.answer import CommandError, NotRunningError, UnreachableError, UsageError
from relaygw.cli.asking import Progress, ask_all
from relaygw.cli.context import Context
from relaygw.cli.records import DnsRecord
from relaygw.config.schema import Config
from relaygw.control.shapes import Json
from relaygw.core import dkim_record
from relaygw.core.address import AddressError, normalize_domain
from relaygw.core.dkim_rotation import Key, Name, Ring, looked
from relaygw.core.dkim_watch import Sighting, alarms, next_step, record_value
from relaygw.journal.line import timestamp
from relaygw.keybook import BookError

Change = Callable[[Ring], Ring]


def domain_of(text: str) -> str:
    try:
        return normalize_domain(text.removesuffix("."))
    except AddressError as error:
        raise UsageError(f"{text!r}: {error}") from None


def ring_of(config: Config) -> Ring:
    """All keys; raises CommandError."""
    try:
        return keybook.all_keys(config)
    except BookError as error:
        raise CommandError(str(error)) from None


def record_of(key: Key) -> DnsRecord:
    """The record as it should be now."""
    return DnsRecord(name=dkim_record.name(key.selector, key.domain), type="TXT", value=record_value(key))


def document(key: Key, config: Config) -> Json:
    """A key as --json shows it."""
    now, times = time.time(), keybook.times_of(config)
    return {
        "domain": key.domain,
        "selector": key.selector,
        "private_key": key.private_key,
        "algorithm": key.algorithm,
        "stage": key.stage.value,
        "signs": key.signs,
        "configured": key.configured,
        "forced": key.forced,
        "since": timestamp(key.since) if key.since else "",
        "seen": timestamp(key.seen) if key.seen is not None else "",
        "dns": key.view.value,
        "problem": next((each.message for each in alarms((key,), now, times)), ""),
        "next": next_step(key, now, times, config.key_rotation.automatic),
        "error": "",
    }


def look(config: Config, ring: Ring, zone: str, progress: Progress) -> Mapping[Name, Sighting]:
    """What the DNS shows of these keys now. Raises CommandError."""

    if not ring:
        return {}
    from relaygw.gateway.keywatch import look_at

    found, _ = ask_all(config.dns, zone, lambda resolver: look_at(ring, resolver), progress)
    return found


def seen(ring: Iterable[Key], sightings: Mapping[Name, Sighting], now: float) -> Ring:
    """The keys as they are after a look."""
    return tuple(
        looked(key, sightings[key.name].view, sightings[key.name].fault, now) if key.name in sightings else key
        for key in ring
    )


def told_service(context: Context) -> str:
    """Have the running service look at its keys; what there is to say about that."""
    try:
        context.client.post("dkim", "look")
    except NotRunningError:
        return "the service is not running: it will find it so at its start"
    except UnreachableError as error:
        return f"the service could not be told ({error}): it will see it at its next look"
    return ""


def changed(config: Config, function: Change) -> Ring:
    """The keys after `function`, kept; raises CommandError."""
    try:
        return keybook.change_keys(config, function)
    except BookError as error:
        raise CommandError(str(error)) from None


def new_key(domain: str, selector: str, algorithm: str, private_key: str, record: str, seals: bool = False) -> Key:
    """A key that was made just now."""
    now = time.time()
    key = Key(domain=domain, selector=selector, algorithm=algorithm, private_key=private_key, record=record)
    return attrs.evolve(key, made=now, since=now, seals=seals)
