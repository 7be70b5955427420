"""One process at a time owns an embedded spool: an advisory lock on a file beside it, gone with the process."""

import contextlib
import fcntl
import os

from relaygw.interfaces import SpoolError


class Lock:
    """Held from `acquire` to `release` or the end of the process. The file names the owner, for people."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor = -1

    def acquire(self) -> None:
        """Raises SpoolError, naming the owner, where another process has it."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(descriptor, 20).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            directory = os.path.dirname(self.path)
            raise SpoolError(f"the spool {directory} is in use by another process ({owner})") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
        self._descriptor = -1
