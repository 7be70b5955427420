"""`relaygw dkim rotate`, `revoke` and `forget`: one key takes over from another, a step at a time.

Each step looks at the DNS itself and writes the book of keys; the running service is told, and signs with what the
book says. Without a service the next start does.
"""

import argparse
import contextlib
import os
import time
from collections.abc import Iterable
from pathlib import Path

import attrs

from relaygw import keybook, keys
from relaygw.cli import dkim_keys
from relaygw.cli.answer import DONE, NO, Answer, CommandError, UsageError
from relaygw.cli.asking import Progress
from relaygw.cli.context import Context
from relaygw.cli.dkim_keys import domain_of, record_of, ring_of
from relaygw.cli.newfiles import make_folder
from relaygw.cli.records import zone_line
from relaygw.config.schema import Config
from relaygw.core import dkim_rotation
from relaygw.core.dkim_rotation import WAITING, Key, Ring, RotationError, Stage
from relaygw.core.dkim_watch import next_step


def rotate(options: argparse.Namespace, context: Context) -> Answer:
    config, domain = context.config, domain_of(options.domain)
    before = tuple(key for key in ring_of(config) if key.domain == domain)
    lines = _lines(before, domain, options.algorithm)
    sightings = dkim_keys.look(config, before, options.zone, Progress(not options.json))
    selector = domain_of(options.selector) if options.selector else ""
    made: list[Path] = []

    def change(ring: Ring) -> Ring:
        now, times = time.time(), keybook.times_of(config)
        ring = dkim_keys.seen(ring, sightings, now)
        for algorithm in lines:
            chosen = _chosen(ring, domain, algorithm, selector)
            if chosen is None and not (options.force or selector) and _is_unfinished(ring, domain, algorithm):
                continue
            if chosen is None:
                chosen = _make(config, ring, domain, algorithm, selector, made)
                ring = dkim_rotation.add(ring, chosen)
            if options.force and not chosen.signs:
                _prove(chosen)
                ring = dkim_rotation.force(ring, chosen.name, now)
        mine = tuple(key for key in ring if key.domain == domain)
        advanced = {key.name: key for key in dkim_rotation.advance(mine, now, times, _is_usable)}
        return tuple(advanced.get(key.name, key) for key in ring)

    try:
        after = tuple(key for key in dkim_keys.changed(config, change) if key.domain == domain)
    except RotationError as error:
        _take_back(made)
        raise CommandError(str(error)) from None
    except CommandError:
        _take_back(made)
        raise
    return _answer(config, domain, before, after, dkim_keys.told_service(context))


def _lines(ring: Ring, domain: str, algorithm: str) -> tuple[str, ...]:
    """The algorithms whose keys are to be replaced."""
    if not ring:
        raise CommandError(f"{domain} has no key: relaygw dkim generate {domain}")
    found = tuple(dict.fromkeys(key.algorithm for key in ring if key.stage is not Stage.REVOKED))
    if algorithm and algorithm not in found:
        raise CommandError(f"{domain} has no {algorithm} key: relaygw dkim generate {domain} --algorithm {algorithm}")
    return (algorithm,) if algorithm else found


def _is_unfinished(ring: Ring, domain: str, algorithm: str) -> bool:
    """Whether a key was replaced, and its record has to stay for a while: another rotation begins when that is over."""
    return any(key.stage is Stage.RETIRED for key in ring if key.line == (domain, algorithm))


def _chosen(ring: Ring, domain: str, algorithm: str, selector: str) -> Key | None:
    """The key that shall sign next: the one that is named, or the newest that waits; None: it has to be made."""
    line = domain, algorithm
    if selector:
        named = next((key for key in ring if key.name == (domain, selector)), None)
        if named is not None and named.algorithm != algorithm:
            raise UsageError(f"the key {selector} of {domain} is of another algorithm: --algorithm {named.algorithm}")
        return named
    waiting = [key for key in ring if key.stage in WAITING and not key.signs]
    return dkim_rotation.successor(waiting, ring, line)


def _make(config: Config, ring: Ring, domain: str, algorithm: str, selector: str, made: list[Path]) -> Key:
    """A new key beside the book, under a name of its own."""
    folder = Path(keybook.book_path(config.path)).parent
    used = {key.selector for key in ring if key.domain == domain}
    name = selector or _fresh(used, algorithm, folder, domain)
    pem = keys.generate(algorithm)
    path = folder / f"{domain}.{name}.pem"
    make_folder(folder)
    try:
        keys.write(path, pem)
    except FileExistsError:
        raise UsageError(f"{path} exists, and a key is never overwritten: give another --selector") from None
    made.append(path)
    seals = any(key.seals and key.signs for key in ring if key.line == (domain, algorithm))
    return dkim_keys.new_key(domain, name, algorithm, str(path), keys.record(pem), seals)


def _fresh(used: set[str], algorithm: str, folder: Path, domain: str) -> str:
    """The day and the kind of key, as people like to read it: r20261123, r20261123b."""
    day = f"{algorithm[0]}{time.strftime('%Y%m%d', time.gmtime())}"
    names = (f"{day}{letter}" for letter in ("", *(f"{number}" for number in map(_letters, range(1, 1000)))))
    return next(name for name in names if name not in used and not (folder / f"{domain}.{name}.pem").exists())


def _letters(number: int) -> str:
    """b, c … z, ba, bb …"""
    text = ""
    while number:
        number, letter = divmod(number, 26)
        text = chr(ord("a") + letter) + text
    return text


def _is_usable(key: Key) -> bool:
    with contextlib.suppress(OSError, keys.UnusableKey):
        return keys.record_of(keys.load(Path(key.private_key).read_bytes())) == key.record
    return False


def _prove(key: Key) -> None:
    if not _is_usable(key):
        raise RotationError(f"the private key {key.private_key} cannot be used")


def _take_back(made: Iterable[Path]) -> None:
    for path in made:
        path.unlink(missing_ok=True)


def _answer(config: Config, domain: str, before: Ring, after: Ring, notes: str) -> Answer:
    """Exit code 0: something happened; 1: there is nothing to do but wait."""
    was = {key.name: key for key in before}
    done = [text for key in after if (text := _done(was.get(key.name), key))]
    publish = [
        record_of(key)
        for key in after
        if (key.stage is not Stage.REVOKED and key.view.value != "right")
        or (key.stage is Stage.REVOKED and key.view.value == "right")
    ]
    now, times = time.time(), keybook.times_of(config)
    next_steps = [
        f"{key.selector}: {text}"
        for key in after
        if (text := next_step(key, now, times, config.key_rotation.automatic))
    ]
    document = {
        "domain": domain,
        "done": done,
        "publish": publish,
        "next": next_steps,
        "keys": [dkim_keys.document(key, config) for key in after],
    }
    told = [*(done or ["There is nothing to do but wait."])]
    told += ["", "Publish:", "", *map(zone_line, publish)] if publish else []
    told += ["", "Next:", *(f"  {step}" for step in next_steps)] if next_steps else []
    return Answer(document=document, text="\n".join(told), notes=notes, status=DONE if done else NO)


def _done(was: Key | None, key: Key) -> str:
    if was is None:
        text = f"{key.selector}: a new {key.algorithm} key, {key.private_key}"
        return f"{text}; it signs, and the world cannot see it yet" if key.signs else text
    if was.stage is key.stage:
        return ""
    forced = "; the world cannot see it" if key.forced and key.signs else ""
    return f"{key.selector}: {was.stage.value} -> {key.stage.value}{forced}"


def revoke(options: argparse.Namespace, context: Context) -> Answer:
    config, name = context.config, (domain_of(options.domain), domain_of(options.selector))
    times = keybook.times_of(config)
    ring = _changed(config, lambda ring: dkim_rotation.revoke(ring, name, time.time(), times, options.force))
    key = dkim_rotation.find(ring, name)
    entry = record_of(key)
    text = (
        f"The key {key.selector} of {key.domain} is revoked. Publish this in place of its record:\n\n{zone_line(entry)}"
    )
    document = {**dkim_keys.document(key, config), "record": entry}
    return Answer(document=document, text=text, notes=dkim_keys.told_service(context))


def forget(options: argparse.Namespace, context: Context) -> Answer:
    config, name = context.config, (domain_of(options.domain), domain_of(options.selector))
    if any((each.domain, each.selector) == name for each in config.dkim):
        raise CommandError(f"the configuration names the key {name[1]} of {name[0]}: remove its [[dkim]] table first")
    key = next((key for key in ring_of(config) if key.name == name), None)
    _changed(config, lambda ring: dkim_rotation.forget(ring, name))
    assert key is not None  # or it could not have been forgotten
    removed = _remove(config, key.private_key)
    document = {
        **dkim_keys.document(attrs.evolve(key, configured=False), config),
        "forgotten": True,
        "file_removed": removed,
    }
    what = "is removed" if removed else "stays: it is not beside the book of keys, remove it yourself"
    text = f"The key {key.selector} of {key.domain} is forgotten, and {key.private_key} {what}."
    return Answer(document=document, text=text, notes=dkim_keys.told_service(context))


def _remove(config: Config, path: str) -> bool:
    """Only beside the book, whose owner may write there anyway: root removes nothing else at the book's word."""
    if os.path.dirname(path) != os.path.dirname(keybook.book_path(config.path)):
        return False
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    return True


def _changed(config: Config, change: "dkim_keys.Change") -> Ring:
    try:
        return dkim_keys.changed(config, change)
    except RotationError as error:
        raise CommandError(str(error)) from None
