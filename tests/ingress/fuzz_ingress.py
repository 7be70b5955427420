"""Coverage-guided fuzzing of a listener: `python tests/ingress/fuzz_ingress.py -max_total_time=60`.

The first octet chooses how the rest is cut into segments. `one_input` raises where a promise is broken.
"""

import sys

from ingress_rig import Rig, in_pieces, reply_codes, was_ended

from relaygw.config.schema import LimitsConfig
from relaygw.core.events import TaskFailed


def one_input(data: bytes) -> None:
    """One client: well formed replies, no failure of ours, and only complete messages."""
    size, stream = (data[0] or 4096, data[1:]) if data else (1, b"")
    rig = Rig(auth="always", limits=LimitsConfig(errors=100, message_size=4000))
    client = rig.connect()
    for piece in in_pieces(stream, lambda: size):
        client.feed(piece)
        rig.clock.advance(2)
    reply_codes(client.heard())
    assert not rig.said(TaskFailed)
    for content in rig.stored():
        assert was_ended(content.split(b"+0000\r\n", 1)[1], stream)


def main() -> None:
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
