"""The book of keys: what has become of each DKIM key that `relaygw dkim` made or replaced, in a small file beside them.

`dkim/keys.json` beside the configuration, mode 0600, holds no secret but must not be changed by others: it says which
keys sign. The service and the command line both write it: under a lock, from what it holds at that moment, and in one
step. Where there is no file the configuration's keys are all there are.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import attrs
import cattrs

from relaygw import durable, keys
from relaygw.config.schema import Config, DkimKeyConfig
from relaygw.core.dkim_rotation import Key, Ring, Times, to_keep, with_configured

FOLDER, FILE = "dkim", "keys.json"
_VERSION = 1
_MOST = 4 * 1024 * 1024
_CONVERTER = cattrs.Converter(forbid_extra_keys=True)


class BookError(ValueError):
    """The book cannot be read or written; the message is a sentence for the operator."""


def book_path(config: str) -> str:
    """Where the book of a configuration is; "" for one that is no file."""
    return os.path.join(os.path.dirname(os.path.abspath(config)), FOLDER, FILE) if config else ""


def times_of(config: Config) -> Times:
    """A record stays for as long as mail that it is needed for may wait in our own queue, at least."""
    queue = (config.queue.expire, config.queue.expire_reports, *(rule.expire or 0.0 for rule in config.retries))
    return Times(settle=config.key_rotation.settle, keep=max(config.key_rotation.keep, *queue))


def read(path: str) -> Ring:
    """All keys of the book; raises BookError."""
    if not path:
        return ()
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise BookError(f"the book of keys {path} cannot be read: {error.strerror}") from None
    try:
        kept: Any = json.loads(data)
        if kept["version"] != _VERSION:
            raise ValueError
        return tuple(_absolute(key, path) for key in _CONVERTER.structure(kept["keys"], list[Key]))
    except (cattrs.BaseValidationError, KeyError, TypeError, ValueError, RecursionError):
        raise BookError(f"{path} is no book of keys: mend it, or put it away and only [[dkim]] counts") from None


def change(path: str, function: Callable[[Ring], Ring]) -> Ring:
    """Write what `function` makes of the keys, and answer that; what it raises is raised, and BookError."""
    with _locked(path):
        before = read(path)
        after = function(before)
        if after != before:
            _write(path, after)
        return after


def configured(entries: Iterable[DkimKeyConfig]) -> Ring:
    """The keys that the configuration names, but for those that cannot be read: others tell of them."""
    found = []
    for entry in entries:
        with contextlib.suppress(OSError, keys.UnusableKey):
            algorithm, record = keys.public(Path(entry.private_key).read_bytes())
            found.append(
                Key(
                    domain=entry.domain,
                    selector=entry.selector,
                    algorithm=algorithm,
                    private_key=entry.private_key,
                    record=record,
                    seals=entry.seals,
                )
            )
    return tuple(found)


def all_keys(config: Config) -> Ring:
    """The keys of the book and of the configuration; raises BookError."""
    return with_configured(read(book_path(config.path)), configured(config.dkim))


def in_use(config: Config) -> tuple[DkimKeyConfig | Key, ...]:
    """What mail is signed with: what the configuration names unless it was replaced, and what replaced it."""
    kept = read(book_path(config.path))
    if not kept:
        return config.dkim
    ring = with_configured(kept, configured(config.dkim))
    unreadable = {(each.domain, each.selector) for each in config.dkim} - {key.name for key in ring}
    return (
        *(key for key in ring if key.signs),
        *(each for each in config.dkim if (each.domain, each.selector) in unreadable),
    )


def change_keys(config: Config, function: Callable[[Ring], Ring]) -> Ring:
    """The same as `change` over all keys; the book keeps what only the configuration knows as long as it is so."""
    named = configured(config.dkim)
    result: Ring = ()

    def changed(kept: Ring) -> Ring:
        nonlocal result
        result = function(with_configured(kept, named))
        return to_keep(kept, result)

    change(book_path(config.path), changed)
    return result


def update_keys(config: Config, function: Callable[[Ring], Ring]) -> Ring:
    """The same for a `function` that may be asked twice: where it changes nothing of the book, nothing is locked or
    written. Who never rotates a key needs no right to write."""
    kept = read(book_path(config.path))
    result = function(with_configured(kept, configured(config.dkim)))
    return result if to_keep(kept, result) == kept else change_keys(config, function)


def _absolute(key: Key, path: str) -> Key:
    return attrs.evolve(key, private_key=os.path.normpath(os.path.join(os.path.dirname(path), key.private_key)))


def _document(ring: Ring, folder: str) -> str:
    """Files in the folder of the book are named without it, so that the whole directory may move."""
    rows = []
    for key in ring:
        row = _CONVERTER.unstructure(attrs.evolve(key, configured=False))
        inside = os.path.dirname(key.private_key) == folder
        rows.append(row | {"private_key": os.path.basename(key.private_key) if inside else key.private_key})
    return json.dumps({"version": _VERSION, "keys": rows}, indent=1) + "\n"


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    """One writer at a time, of all processes. The lock is a file of its own: the book is replaced."""
    folder = os.path.dirname(path)
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        descriptor = _lock_file(f"{path}.lock", folder)
    except OSError as error:
        raise BookError(f"the book of keys {path} cannot be written: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _lock_file(path: str, folder: str) -> int:
    """Never a link that the folder's owner put there: what root makes here is given to them."""
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return os.open(path, flags)
    keys.give_away(descriptor, Path(folder))
    return descriptor


def _write(path: str, ring: Ring) -> None:
    """Replace the book: what it held, or what it holds now, survives power loss."""
    try:
        durable.forget_unfinished(path)
        durable.replace(path, _document(ring, os.path.dirname(path)))
    except OSError as error:
        raise BookError(f"the book of keys {path} cannot be written: {error.strerror}") from None
