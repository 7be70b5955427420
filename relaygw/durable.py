"""What survives a power cut: small files that are replaced as a whole, so that whoever reads one finds what it held
before or what it holds now, never a part; and the names in a directory. A sync takes its time.
"""

import contextlib
import os
import tempfile


def replace(path: str, text: str) -> None:
    """Write the file anew, for its owner only. Raises OSError, and leaves nothing behind.

    What root writes belongs to whom the file belonged to, or else its folder: the service must be able to read it.
    """
    folder = os.path.dirname(os.path.abspath(path))
    descriptor, unfinished = tempfile.mkstemp(prefix=f".{os.path.basename(path)}-", dir=folder)
    try:
        with open(descriptor, "w", encoding="utf-8", newline="\n") as file:
            _give_to_owner(descriptor, path, folder)
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        os.replace(unfinished, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(unfinished)
        raise
    sync_directory(folder)


def forget_unfinished(path: str) -> None:
    """Remove what is left of writers of the file that were killed. Only for who knows that nobody writes it now."""
    folder, name = os.path.split(os.path.abspath(path))
    for each in os.listdir(folder):
        if each.startswith(f".{name}-"):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(folder, each))


def _give_to_owner(descriptor: int, path: str, folder: str) -> None:
    if os.geteuid() != 0:
        return
    try:
        owner = os.stat(path)
    except FileNotFoundError:
        owner = os.stat(folder)
    os.fchown(descriptor, owner.st_uid, owner.st_gid)


def sync_directory(path: str) -> None:
    """Make the names in a directory survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
