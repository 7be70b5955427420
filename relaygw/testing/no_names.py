"""A name server on loopback that knows no names: a gateway under test asks it, and nobody outside.

So a test depends on no network, and strangers' domains are what they are on a machine with one: not there.
"""

import contextlib
import functools
import socket
import threading

import dns.exception
import dns.message
import dns.rcode


@functools.cache
def no_names() -> str:
    """Its address, as `dns.nameservers` has it. It answers from a thread of this process, as long as that lives."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    threading.Thread(target=_answer, args=(server,), name="no names", daemon=True).start()
    return f"127.0.0.1:{server.getsockname()[1]}"


def _answer(server: socket.socket) -> None:
    while True:
        question, client = server.recvfrom(65_535)
        with contextlib.suppress(dns.exception.DNSException, OSError):  # who asks nonsense gets nothing
            answer = dns.message.make_response(dns.message.from_wire(question))
            answer.set_rcode(dns.rcode.NXDOMAIN)
            server.sendto(answer.to_wire(), client)
