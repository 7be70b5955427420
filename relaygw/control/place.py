"""Where the control socket is. Its address holds 107 octets, less than a path may have: a longer path is reached
through a descriptor of its directory, where the system offers that (Linux).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

MAX_ADDRESS = 103
"""Octets that fit everywhere: sockaddr_un has 108 on Linux, 104 on BSD and macOS, one of them for the final NUL."""


@contextmanager
def reachable(path: str) -> Iterator[str]:
    """A path for the same file that fits an address; good inside the block. Raises OSError."""
    if len(os.fsencode(path)) <= MAX_ADDRESS:
        yield path
        return
    descriptor = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{os.path.basename(path)}"
    finally:
        os.close(descriptor)
