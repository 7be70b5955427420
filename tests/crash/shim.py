"""The preloaded shim (disk_shim.c) from Python: built once, loaded into a process, told what to note and what fails.

environment = preloaded()           for the child
shim = Shim(); shim.start(folder, log); shim.fail(Kind.SYNC, first=3)      in the child
"""

import contextlib
import ctypes
import enum
import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).with_name("disk_shim.c")
LIBRARY = "RELAYGW_DISK_SHIM"
"""Where a parent has built it already."""


class Kind(enum.IntFlag):
    """The calls that can be made to fail; OPEN are those that make a file or a second name for one."""

    OPEN = 1
    WRITE = 2
    TRUNCATE = 4
    SYNC = 8
    UNLINK = 16
    RENAME = 32
    MKDIR = 64


EVERY = Kind.OPEN | Kind.WRITE | Kind.TRUNCATE | Kind.SYNC | Kind.UNLINK | Kind.RENAME | Kind.MKDIR
ERRORS = (errno.EIO, errno.ENOSPC)

ROOM = 1 << 30
"""Octets that are enough for every campaign; containers often have less of memory."""


class Unavailable(Exception):
    """There is no compiler, or it cannot build the shim; the message says why."""


def build() -> str:
    """The path of the shared library, built where that was not done yet."""
    found = os.environ.get(LIBRARY)
    if found and os.path.exists(found):
        return found
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise Unavailable("needs a C compiler, which is not installed")
    target = os.path.join(tempfile.mkdtemp(prefix="disk-shim-"), "disk_shim.so")
    command = [compiler, "-shared", "-fPIC", "-O2", "-o", target, str(SOURCE), "-ldl", "-pthread"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"the compiler cannot build the shim: {done.stderr[:500]}")
    os.environ[LIBRARY] = target
    return target


def preloaded(**more: str) -> dict[str, str]:
    """The environment of a child that has the shim in it; the order of its sets and dicts is always the same."""
    return {**os.environ, "LD_PRELOAD": build(), "PYTHONHASHSEED": "0", **more}


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder where syncs cost nothing, if there is one with room: what reaches a disk is told by the log alone."""
    memory = "/dev/shm"
    usable = os.path.isdir(memory) and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ROOM
    place = memory if usable else None
    with tempfile.TemporaryDirectory(prefix="relaygw-crash-", dir=place, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


class Shim:
    """The shim within this process, which was started with it."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None)
        if not hasattr(self._library, "disk_start"):
            raise Unavailable("this process was started without the shim")
        self._library.disk_fail.argtypes = [ctypes.c_int, ctypes.c_long, ctypes.c_long, ctypes.c_long, ctypes.c_int]
        self._library.disk_mark.argtypes = [ctypes.c_char_p, ctypes.c_long]
        self._library.disk_counted.restype = ctypes.c_long

    def start(self, folder: Path, log: Path) -> None:
        """Note what happens below the folder from now on, in a new log."""
        self.stop()
        self._library.disk_start(str(folder).encode(), str(log).encode())

    def stop(self) -> None:
        self._library.disk_stop()

    def mark(self, text: bytes) -> None:
        """A note of ours between the others."""
        self._library.disk_mark(text, len(text))

    def fail(self, kinds: Kind, *, first: int = 1, step: int = 1, times: int = 1, error: int = errno.EIO) -> None:
        """Of the calls of these kinds from now on, let the `first` fail, and each `step`-th after it, so many times."""
        self._library.disk_fail(int(kinds), first, step, times, error)

    def heal(self) -> None:
        self._library.disk_fail(0, 1, 1, 0, 0)

    @property
    def counted(self) -> int:
        """Calls of the kinds that may fail since `fail`."""
        return int(self._library.disk_counted())
