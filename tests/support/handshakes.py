"""TLS handshakes in memory, with a listener's own settings."""

import contextlib

import attrs
from certificates import Issued
from OpenSSL import SSL

from relaygw.tls import ServerTls


@attrs.frozen
class Handle:
    """As much of a transport as says which connection it has."""

    connection: SSL.Connection

    def getHandle(self) -> SSL.Connection:
        return self.connection


def shake(
    tls: ServerTls, name: str = "", certificate: Issued | None = None, chain: tuple[Issued, ...] = (), maximum: int = 0
) -> tuple[SSL.Connection, SSL.Connection]:
    """A handshake with a client that asks for this name: (server, client). Raises SSL.Error where one side refuses."""
    server = tls.context_factory.serverConnectionForTLS(None)  # type: ignore[arg-type]  # not used
    server.set_app_data(tls)  # as Twisted does, with something of its own
    context = SSL.Context(SSL.TLS_METHOD)
    if maximum:
        context.set_max_proto_version(maximum)
    if certificate is not None:
        context.use_certificate(certificate.certificate)
        context.use_privatekey(certificate.key)
        for each in chain:
            context.add_extra_chain_cert(each.certificate)
    client = SSL.Connection(context, None)
    if name:
        client.set_tlsext_host_name(name.encode())
    agree(server, client)
    return server, client


def agree(server: SSL.Connection, client: SSL.Connection) -> None:
    """Carry what they say to each other until they are through; raises SSL.Error."""
    server.set_accept_state()
    client.set_connect_state()
    for _ in range(10):
        for side, other in ((client, server), (server, client)):
            with contextlib.suppress(SSL.WantReadError):
                side.do_handshake()
            with contextlib.suppress(SSL.WantReadError):
                other.bio_write(side.bio_read(65_536))
