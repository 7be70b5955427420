"""The journal as a file of lines: appended to, found again after a rotation, or standard output.

Used from the journal's thread only, so that a slow disk delays no session. Failures are OSError.
"""

import contextlib
import os

_STDOUT = 1


class LineFile:
    """`path` "-" is standard output, "" writes nowhere. Opened at the first line; mode 0640 when it is made."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor = -1
        self._identity: tuple[int, int] | None = None

    def append(self, lines: list[str]) -> None:
        """Write the lines in one go, to the file that has the name now."""
        if not self.path:
            return
        view = memoryview(("\n".join(lines) + "\n").encode("utf-8", "backslashreplace"))
        descriptor = self._open()
        while view:
            view = view[os.write(descriptor, view) :]

    def _open(self) -> int:
        if self.path == "-":
            return _STDOUT
        if self._descriptor >= 0 and self._named() != self._identity:
            self.close()
        if self._descriptor < 0:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY
            self._descriptor = os.open(self.path, flags, 0o640)
            status = os.fstat(self._descriptor)
            self._identity = status.st_dev, status.st_ino
        return self._descriptor

    def _named(self) -> tuple[int, int] | None:
        """What the path names now: something else after a rotation, None when it was moved away."""
        try:
            status = os.stat(self.path)
        except FileNotFoundError:
            return None
        return status.st_dev, status.st_ino

    def close(self) -> None:
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
        self._descriptor = -1
