"""Control socket, console and client on real sockets: private, over what a crash left, gone at the end."""

import errno
import os
import socket
import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest
from ended import all_ended
from operators import Office, message
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from relaygw.bridge import deferred
from relaygw.cli.answer import CommandError, MissingError, NotRunningError, UnreachableError, UsageError
from relaygw.cli.client import Client, reason
from relaygw.cli.queue_access import MOST_IDS, FarQueue
from relaygw.config.schema import ControlConfig
from relaygw.control.place import MAX_ADDRESS
from relaygw.control.service import ControlService


class ServiceCase(TestCase):
    def setUp(self) -> None:
        self.addCleanup(all_ended)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.office = Office(message("0a"), message("0b", held="x"))

    async def opened(self, config: ControlConfig) -> ControlService:
        service = ControlService(reactor, config, self.office.parts)
        service.startService()
        self.addCleanup(service.stopService)
        await service.opened
        return service

    def in_thread(self, client: Client, *parts: str, **query: object) -> Deferred[Any]:
        return deferToThread(lambda: client.get(*parts, **query))

    @deferred
    async def test_the_socket_is_ours_alone_and_gone_at_the_end(self) -> None:
        path = self.folder / "control.sock"
        service = await self.opened(ControlConfig(socket=str(path)))
        assert service.problems == []
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert (await self.in_thread(Client(str(path)), "status"))["hostname"] == "mail.example.com"
        await service.stopService()
        assert not path.exists()

    @deferred
    async def test_a_long_list_of_ids_is_asked_in_parts_and_what_is_too_long_is_not_asked(self) -> None:
        path = self.folder / "control.sock"
        await self.opened(ControlConfig(socket=str(path)))
        client = Client(str(path))
        ids = ["0a", *(f"1m84syyjhd{number:06}" for number in range(3 * MOST_IDS)), "0b"]
        found: list[str] = []
        asked: list[str] = []
        part: Any = {"after": ""}
        while not asked or part["after"]:
            asked.append(part["after"])
            given = {"id": ids, **({"after": part["after"]} if part["after"] else {})}
            part = await deferToThread(FarQueue(client).list_, given)
            found += [each["id"] for each in part["messages"]]
        assert found == ["0a", "0b"]
        assert len(asked) == 4
        with pytest.raises(UsageError, match="too much to ask the service at once: 20012 octets, at most 16000"):
            await self.in_thread(client, "trace", text="x" * 20_000)

    @deferred
    async def test_what_is_no_text_is_not_there(self) -> None:
        path = self.folder / "control.sock"
        await self.opened(ControlConfig(socket=str(path)))
        with pytest.raises(MissingError):
            await self.in_thread(Client(str(path)), "queue", "a\udcff")
        assert (await self.in_thread(Client(str(path)), "queue", reply="a\udcff"))["messages"] == []

    @deferred
    async def test_what_a_crash_left_is_replaced_and_a_living_socket_is_not(self) -> None:
        path = self.folder / "control.sock"
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
        first = await self.opened(ControlConfig(socket=str(path)))
        second = await self.opened(ControlConfig(socket=str(path)))
        assert first.problems == []
        assert second.problems == ["the control socket cannot be opened: [Errno 98] another process answers at it"]
        assert (await self.in_thread(Client(str(path)), "status"))["messages"] == 2

    @deferred
    async def test_a_path_longer_than_an_address_still_works(self) -> None:
        deep = self.folder / ("d" * 60) / ("e" * 60)
        deep.mkdir(parents=True)
        path = str(deep / "control.sock")
        assert len(path) > MAX_ADDRESS
        service = await self.opened(ControlConfig(socket=path))
        assert service.problems == []
        assert (await self.in_thread(Client(path), "queue", held="true"))["messages"][0]["id"] == "0b"
        await service.stopService()
        assert not os.path.exists(path)

    @deferred
    async def test_the_console_listens_where_it_is_told(self) -> None:
        (self.folder / "token").write_text("t")
        service = await self.opened(
            ControlConfig(
                socket=str(self.folder / "s"),
                console="tcp:0:interface=127.0.0.1",
                token_file=str(self.folder / "token"),
            )
        )
        address = service.console_address

        def look() -> bytes:
            with socket.create_connection((address.host, address.port), 60) as link:
                link.sendall(b"GET /login HTTP/1.0\r\n\r\n")
                with link.makefile("rb") as file:
                    return file.read()

        assert b'name="token"' in await deferToThread(look)

    @deferred
    async def test_a_console_that_cannot_listen_is_told_and_the_socket_works(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            service = await self.opened(
                ControlConfig(
                    socket=str(self.folder / "s"), console=f"tcp:{port}:interface=127.0.0.1", token_file="token"
                )
            )
        (problem,) = service.problems
        assert "the console cannot be opened" in problem
        assert len(self.flushLoggedErrors()) == 0
        assert (await self.in_thread(Client(str(self.folder / "s")), "status"))["messages"] == 2

    @deferred
    async def test_the_client_says_what_went_wrong(self) -> None:
        path = str(self.folder / "control.sock")
        await self.assertFailure(self.in_thread(Client(path), "status"), NotRunningError)
        service = await self.opened(ControlConfig(socket=path))
        missing = await self.assertFailure(self.in_thread(Client(path), "queue", "zz"), MissingError)
        assert str(missing) == "there is no message 'zz' in the queue"
        refused = await self.assertFailure(self.in_thread(Client(path), "queue", nonsense="1"), CommandError)
        assert "there is no parameter 'nonsense'" in str(refused)
        await service.stopService()

    @deferred
    async def test_silence_and_nonsense_are_unreachable(self) -> None:
        path = str(self.folder / "s")
        with socket.socket(socket.AF_UNIX) as silent:
            silent.bind(path)
            silent.listen()
            failed = await self.assertFailure(self.in_thread(Client(path, timeout=0.05), "status"), UnreachableError)
            assert "it took too long" in str(failed)
            assert not isinstance(failed, NotRunningError)


def test_who_may_not_open_the_socket_is_told_who_may() -> None:
    """The superuser may always, so the system's answer is made here."""
    told = reason(PermissionError(errno.EACCES, "Permission denied"))
    assert told == "Permission denied; run this as the service's user, or as root"
