"""DNS for a benchmark: an NSD that serves the senders' names, and an Unbound in front of it with a warm cache.

Both sides ask the same Unbound.
"""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import rig

from relaygw.testing.name_servers import resolve_by, root
from relaygw.testing.name_servers import serve as serve_zones


@contextlib.contextmanager
def serve(zone: str) -> Iterator[int]:
    """The port of a resolver on 127.0.0.1 that knows these records, names absolute."""
    with tempfile.TemporaryDirectory(prefix="bench-names-") as name:
        folder = Path(name)
        with (
            serve_zones(folder, rig.program("nsd"), root(zone)) as server,
            resolve_by(folder, rig.program("unbound"), server) as resolver,
        ):
            yield int(resolver.rpartition(":")[2])
