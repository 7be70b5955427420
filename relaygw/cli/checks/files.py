"""Files: secrets that others may read, directories that others may change, and a state directory we can work in."""

import os
import stat
from collections.abc import Iterator, Mapping
from typing import Any

from relaygw import keybook
from relaygw.cli.checks.finding import Finding, error, warning
from relaygw.config.schema import Config
from relaygw.core.dkim_rotation import Ring


def check(config: Config) -> Iterator[Finding]:
    yield from _changeable("the configuration", config.path)
    for option, path in secrets(config):
        yield from _secret(option, path)
    book = keybook.book_path(config.path)
    if os.path.exists(book):
        yield from _changeable("the book of keys", book)
        if not os.access(os.path.dirname(book), os.W_OK) or not os.access(book, os.R_OK | os.W_OK):
            message = f"{book} cannot be written: keys will not replace each other"
            yield warning("dkim", message, "make the service's user the owner of its folder, and run this as that user")
    yield from _state(config.state)


def secrets(config: Config) -> Iterator[tuple[str, str]]:
    """Every file that holds a secret, with the option that names it."""
    for option, path in (
        ("tls.private_key", config.tls.private_key),
        ("directory.users", config.directory.users),
        ("control.token_file", config.control.token_file),
    ):
        if path:
            yield option, path
    for number, pair in enumerate(config.tls.certificates, 1):
        yield f"tls.certificates[{number}].private_key", pair.private_key
    bind = config.directory.options.get("bind_password_file")
    if isinstance(bind, str) and bind:
        yield "directory.options.bind_password_file", os.path.join(os.path.dirname(config.path), bind)
    for number, key in enumerate(config.dkim, 1):
        yield f"dkim[{number}].private_key", key.private_key
    named = {key.private_key for key in config.dkim}
    yield from ((f"the key {key.selector}", key.private_key) for key in _kept(config) if key.private_key not in named)
    for number, route in enumerate(config.routes, 1):
        for name, file in _of_route(route.parameters):
            yield f"route[{number}].{name}", os.path.join(os.path.dirname(config.path), file)


def _kept(config: Config) -> Ring:
    """The keys of the book. One that cannot be read is told among the parts."""
    try:
        return keybook.read(keybook.book_path(config.path))
    except keybook.BookError:
        return ()


def _of_route(parameters: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The secrets of a route in files, those of its [route.oauth] too."""
    oauth = parameters.get("oauth")
    for prefix, table in (("", parameters), ("oauth.", oauth if isinstance(oauth, Mapping) else {})):
        for name in ("password_file", "private_key", "client_secret_file", "refresh_token_file", "key_file"):
            file = table.get(name)
            if isinstance(file, str):
                yield f"{prefix}{name}", file


def _secret(option: str, path: str) -> Iterator[Finding]:
    """A group may read a key (an ACME client's), but nobody else may."""
    try:
        mode = os.stat(path).st_mode
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    except FileNotFoundError as failure:
        yield error(option, f"{path}: {failure.strerror}", "make the file, or name another one")
        return
    except OSError as failure:
        yield error(option, f"{path}: {failure.strerror}", "run this as the service's user")
        return
    if mode & stat.S_IRWXO:
        yield error(option, f"{path} may be read or written by everybody ({_octal(mode)})", f"chmod 600 {path}")
    elif mode & stat.S_IWGRP:
        yield warning(option, f"{path} may be changed by its group ({_octal(mode)})", f"chmod 600 {path}")


def _changeable(what: str, path: str) -> Iterator[Finding]:
    for each in (path, os.path.dirname(path)):
        mode = os.stat(each).st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            yield error(each, f"{what} may be changed by everybody ({_octal(mode)})", f"chmod o-w {each}")


def _state(path: str) -> Iterator[Finding]:
    """A state directory that is not there is made at start: then its parent must let us."""
    if not os.path.isdir(path):
        parent = os.path.dirname(path)
        if not os.access(parent, os.W_OK | os.X_OK):
            yield error(
                "state", f"{path} is not there and cannot be made in {parent}", "make it for the service's user"
            )
        return
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        yield error("state", f"{path} cannot be worked in", "run this as the service's user, or give it the directory")
    mode = os.stat(path).st_mode
    if mode & stat.S_IRWXO:
        yield warning("state", f"{path} holds mail and is open to everybody ({_octal(mode)})", f"chmod 700 {path}")


def _octal(mode: int) -> str:
    return f"mode {stat.S_IMODE(mode):04o}"
