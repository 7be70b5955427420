"""Ports for child processes: free, no two alike, and not where the system takes those of outgoing connections."""

import contextlib
import socket

from relaygw.testing.ports import PORTS, free_offset, free_port


def test_no_two_programs_of_a_process_get_the_same_port() -> None:
    gateways = [port + offset for offset in [free_offset() for _ in range(10)] for port in PORTS]
    ports = gateways + [free_port() for _ in range(50)]
    assert len(set(ports)) == len(ports) == 10 * len(PORTS) + 50
    assert max(ports) < 32768


def test_what_listens_is_not_free() -> None:
    first = free_port()
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError):  # somebody else's is as good
            held.enter_context(socket.create_server(("127.0.0.1", first + 1)))
        other = held.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        with contextlib.suppress(OSError):
            other.bind(("127.0.0.1", first + 2))
        assert free_port() not in {first, first + 1, first + 2}
