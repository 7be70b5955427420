"""One BDAT command on its way in (RFC 3030 2): it is answered behind its octets, which are no commands whatever the
answer will be."""

import attrs

from relaygw.core.command import ChunkArgument
from relaygw.core.reply import Reply


@attrs.define
class Chunk:
    """Where it was refused already, the `left` octets of it are skipped."""

    argument: ChunkArgument
    refusal: Reply | None
    left: int

    def skip(self, data: bytes) -> bytes | None:
        """What follows it, None before that."""
        skipped = min(self.left, len(data))
        self.left -= skipped
        return None if self.left else data[skipped:]
