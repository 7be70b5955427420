"""Contents as they are read back from the database: each is what was stored, or its message is set aside.

A page that SQLite cannot read is the trouble of what stands on it. Once it has found one, SQLite writes nothing more
within the transaction: what is to be set aside is noted, for a transaction of its own, and then it is asked again.
"""

import abc
import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial

from relaygw.core.content import BytesContent, Content
from relaygw.spool.digest import inline_fault
from relaygw.spool.entries import expand, parts
from relaygw.spool.files import ContentFiles, FileContent, look

STAYS = "it is done with; its content stays in the database, which cannot read it: `relaygw spool verify` tells more"
"""What is told of a message whose content cannot be removed."""


def is_corrupt(error: sqlite3.Error) -> bool:
    """Whether SQLite found its own pages damaged."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Contents(abc.ABC):
    """The part of a store that reads contents, and lets go of them. `doubt` is told, in any thread, of a message whose
    content file was read and is not what was stored. `stuck` are the numbers of contents that cannot be removed."""

    files: ContentFiles
    doubt: Callable[[str, str], None]
    stuck: set[int]
    _connection: sqlite3.Connection
    _learnt: bool

    @abc.abstractmethod
    def exists(self, queue_id: str) -> bool:
        """Whether there is such a message that can be read."""

    @abc.abstractmethod
    def set_aside(self, queue_id: str, error: str) -> None:
        """Keep a message out of every answer."""

    @abc.abstractmethod
    def spoil(self, queue_id: str, error: str) -> None:
        """Note that a message is to be set aside, in a transaction of its own."""

    def content(self, queue_id: str) -> Content | None:
        query = (
            "SELECT file, size, prefix, data, crc FROM message JOIN content ON content.id = message.id "
            "WHERE queue_id = ? AND damage IS NULL"
        )
        try:
            row = self._connection.execute(query, (queue_id,)).fetchone()
        except sqlite3.DatabaseError as error:
            if is_corrupt(error):
                self.spoil(queue_id, f"the content cannot be read: {error}")
            raise
        if row is None:
            if self.exists(queue_id):
                self.set_aside(queue_id, "the content is missing")
            return None
        file, size, prefix, data, crc = row
        if not file:
            return self._inline_content(queue_id, size, prefix, data, crc)
        return self._file_content(queue_id, prefix, file, size, crc)

    def _inline_content(self, queue_id: str, size: int, prefix: bytes, data: bytes, crc: int | None) -> Content | None:
        """As it was stored, or set aside."""
        fault = inline_fault(size, prefix, data, crc)
        if not fault:
            return BytesContent(prefix + data)
        self.set_aside(queue_id, f"the content {fault}")
        return None

    def remove_contents(self, numbers: Sequence[int]) -> None:
        """Remove them, but for those that are stuck: nobody is kept up by a page that cannot be read, or delivers
        again what was on it."""
        wanted = [number for number in numbers if number not in self.stuck] if self.stuck else numbers
        try:
            self._connection.execute(expand("DELETE FROM content WHERE id IN ?*", len(wanted)), wanted)
        except sqlite3.DatabaseError as error:
            if is_corrupt(error):
                stuck = wanted if len(wanted) == 1 else [each for each in wanted if not self._can_be_read(each)]
                self._learnt = self._learnt or bool(stuck)
                self.stuck.update(stuck)
            raise

    def _can_be_read(self, number: int) -> bool:
        try:
            self._connection.execute("SELECT prefix, data FROM content WHERE id = ?", (number,)).fetchone()
        except sqlite3.DatabaseError:
            return False
        return True

    def contents(self, queue_ids: Sequence[str]) -> dict[str, Content]:
        """Those that cannot be found in the usual way are looked at one by one, to be set aside with a reason."""
        try:
            found = self._inline_contents(queue_ids)
        except sqlite3.DatabaseError as error:
            if is_corrupt(error):
                self._find_spoiled(queue_ids)
            raise
        for queue_id in queue_ids:
            if queue_id not in found:
                found[queue_id] = self.content(queue_id)
        return {queue_id: content for queue_id, content in found.items() if content is not None}

    def _find_spoiled(self, queue_ids: Sequence[str]) -> None:
        for queue_id in queue_ids:
            with contextlib.suppress(sqlite3.DatabaseError):
                self.content(queue_id)

    def _inline_contents(self, queue_ids: Sequence[str]) -> dict[str, Content | None]:
        """Those that are in the database."""
        found: dict[str, Content | None] = {}
        for some in parts(queue_ids):
            query = (
                "SELECT queue_id, size, prefix, data, crc FROM message JOIN content ON content.id = message.id "
                "WHERE file = '' AND damage IS NULL AND queue_id IN ?*"
            )
            for row in self._connection.execute(expand(query, len(some)), some).fetchall():
                found[row[0]] = self._inline_content(*row)
        return found

    def _file_content(self, queue_id: str, prefix: bytes, file: str, size: int, crc: int | None) -> Content | None:
        fault, head = look(self.files.path(file), size)
        if fault:
            self.set_aside(queue_id, f"the content file {file} {fault}")
            return None
        return FileContent(prefix, self.files.path(file), size, head, crc, partial(self.doubt, queue_id))
