"""New files and directories, for their owner only; nothing that exists is ever touched."""

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from relaygw.cli.answer import UsageError
from relaygw.durable import sync_directory


@contextlib.contextmanager
def where_it_was_said() -> Iterator[None]:
    """For files whose place was named in the command: one that is nowhere, or not ours, is wrong usage."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError) as error:
        raise UsageError(f"{error.filename} cannot be written: {error.strerror}") from None


def refuse_existing(folder: Path, names: Iterable[str]) -> None:
    """Raises UsageError where anything of these names stands below the folder."""
    found = [name for name in names if os.path.lexists(folder / name)]
    if found:
        raise UsageError(f"nothing was written: {folder} already has {', '.join(found)}, and init never overwrites")


def write_all(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write and sync every file (mode 0600, directories 0700); when one fails, those before it are taken back."""
    written: list[Path] = []
    try:
        for name, data in files.items():
            path = folder / name
            written += _make_folders(path.parent)
            _write(path, data, written)
        for folder in {path.parent for path in written}:
            sync_directory(str(folder))
    except BaseException:
        _take_back(written)
        raise


def make_folder(path: Path) -> None:
    """A directory for its owner only; one that is there stays as it is."""
    _make_folders(path)


def _make_folders(path: Path) -> list[Path]:
    """The directories that had to be made, from the top."""
    missing = [each for each in (path, *path.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(mode=0o700)
    return missing[::-1]


def _write(path: Path, data: bytes, written: list[Path]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    written.append(path)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _take_back(written: list[Path]) -> None:
    for path in reversed(written):
        with contextlib.suppress(OSError):
            path.rmdir() if path.is_dir() else path.unlink()
