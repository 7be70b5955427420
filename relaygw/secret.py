"""A secret of this installation, made once and kept in a file of its own: what must stay the same after a restart
without being known to anybody. It is not made before it is needed.
"""

import contextlib
import os
import secrets

LENGTH = 32


class KeptSecret:
    """Call it for the secret. Where the file can be neither read nor made, it is one of this process alone."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._known = b""

    def __call__(self) -> bytes:
        """Never raises: a login must not fail because a salt cannot be made up."""
        if not self._known:
            self._known = self._read() or self._make()
        return self._known

    def known(self) -> bytes:
        """The secret as far as there is one: nothing is made."""
        return self._known or self._read()

    def _read(self) -> bytes:
        with contextlib.suppress(OSError), open(self._path, "rb") as file:
            found = file.read(LENGTH)
            return found if len(found) == LENGTH else b""
        return b""

    def _make(self) -> bytes:
        secret = secrets.token_bytes(LENGTH)
        with contextlib.suppress(OSError):
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with open(descriptor, "wb") as file:
                file.write(secret)
        return secret
