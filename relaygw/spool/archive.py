"""The archive of a spool: a tar file that any program reads, of messages as RFC 5322 files, each with its envelope.

    relaygw-archive.json     {"format": 1, "archive": "…", "hostname": "…", "created": …}
    messages/ID.eml          the content, octet for octet
    messages/ID.json         {"sha256": "…", "size": …, "record": {…}}: the record as in the spool (codec.py)
    relaygw-archive-end.json {"messages": …}: without it the archive is not whole

`archive` names it, so that each message comes in once, however often it is imported.
"""

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Callable, Iterator
from typing import IO, Any

import attrs

from relaygw.core.content import CHUNK, Content
from relaygw.core.record import Record
from relaygw.spool.codec import DIGEST, CodecError, decode_record, encode_record
from relaygw.spool.foreign import fault

FORMAT = 1
HEAD, END = "relaygw-archive.json", "relaygw-archive-end.json"
MAX_JSON = 64 * 1024 * 1024
"""Octets of an envelope: one with a hundred thousand recipients has fewer."""

_NAME = re.compile(r"messages/([0-9A-Za-z_-]{1,64})\.(eml|json)\Z")


class ArchiveError(ValueError):
    """The file is no archive of ours, or not one that this program reads; the message says why."""


class Writer:
    """Writes an archive into a file open for writing; `close` ends it."""

    def __init__(self, file: IO[bytes], *, archive: str, hostname: str, created: float) -> None:
        self.messages = 0
        self.octets = 0
        self._created = created
        self._tar = tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT)  # noqa: SIM115  # closed by `close`
        self._put_json(HEAD, {"format": FORMAT, "archive": archive, "hostname": hostname, "created": created})

    def put(self, record: Record, content: Content) -> None:
        """One message; raises ArchiveError where its content is not all there: the archive must be given up then."""
        reader = _Hashing(content.chunks())
        info = self._info(f"messages/{record.queue_id}.eml", content.size)
        try:
            self._tar.addfile(info, reader)
        except OSError as error:
            raise ArchiveError(f"the content of {record.queue_id} cannot be read: {error}") from None
        fields = json.loads(encode_record(record))
        del fields[DIGEST]  # that of a text which is another one here
        told = {"sha256": reader.digest.hexdigest(), "size": content.size, "record": fields}
        self._put_json(f"messages/{record.queue_id}.json", told)
        self.messages += 1
        self.octets += content.size

    def close(self) -> None:
        self._put_json(END, {"messages": self.messages})
        self._tar.close()

    def _put_json(self, name: str, told: Any) -> None:
        data = json.dumps(told, ensure_ascii=True).encode() + b"\n"
        self._tar.addfile(self._info(name, len(data)), io.BytesIO(data))

    def _info(self, name: str, size: int) -> tarfile.TarInfo:
        info = tarfile.TarInfo(name)
        info.size, info.mode, info.mtime = size, 0o600, int(self._created)
        return info


class _Hashing:
    """A file of pieces, with its digest."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.digest = hashlib.sha256()
        self._pieces = pieces
        self._left = b""

    def read(self, size: int = -1) -> bytes:
        while size < 0 or len(self._left) < size:
            piece = next(self._pieces, b"")
            if not piece:
                break
            self._left += piece
        data, self._left = (self._left, b"") if size < 0 else (self._left[:size], self._left[size:])
        self.digest.update(data)
        return data


@attrs.frozen(kw_only=True)
class Head:
    """What an archive says of itself; `offset` is where its messages begin."""

    archive: str
    hostname: str
    offset: int


@attrs.frozen(kw_only=True)
class Item:
    """One message of an archive. `record` None: it must not be taken in, and `problem` says why. `offset` is where the
    next one begins."""

    queue_id: str
    record: Record | None
    problem: str
    offset: int


@attrs.frozen(kw_only=True)
class Ending:
    """The archive's end. `problem` is "" where it is whole."""

    problem: str


def read_head(file: IO[bytes]) -> Head:
    """What stands at the beginning of an archive; raises ArchiveError."""
    file.seek(0)
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            member = tar.next()
            if member is None or member.name != HEAD:
                raise ArchiveError(f"it does not begin with {HEAD}")
            told = _json(tar, member)
            if told.get("format") != FORMAT:
                raise ArchiveError(f"its format is {told.get('format')!r:.20}, and this program reads {FORMAT}")
            archive, hostname = told.get("archive"), told.get("hostname", "")
            if not isinstance(archive, str) or not 0 < len(archive) <= 100 or not isinstance(hostname, str):
                raise ArchiveError(f"{HEAD} does not say which archive it is")
            return Head(archive=archive, hostname=hostname, offset=tar.offset)
    except (tarfile.TarError, EOFError) as error:
        raise ArchiveError(f"it is not a tar file: {error}") from None


def read_item(file: IO[bytes], offset: int, write: Callable[[bytes], object]) -> Item | Ending:
    """The message at this place; its octets are handed to `write` as they are read. Whatever is wrong is a value."""
    try:
        file.seek(offset)
        with tarfile.open(fileobj=file, mode="r:") as tar:
            content = tar.next()
            if content is None:
                return Ending(problem="the archive is not whole: its end is missing")
            if content.name == END:
                return Ending(problem="")
            item = _item(tar, content, write)
    except (tarfile.TarError, EOFError, OSError, ValueError, OverflowError) as error:
        return Ending(problem=f"the archive cannot be read any further: {error}")
    if isinstance(item, Item) and item.offset <= offset:  # sizes are what somebody wrote, below zero too
        return Ending(problem="the archive cannot be read any further: it leads back to where it was read")
    return item


def _item(tar: tarfile.TarFile, content: tarfile.TarInfo, write: Callable[[bytes], object]) -> Item | Ending:
    named = _NAME.match(content.name)
    if named is None or not content.isreg():
        return Item(queue_id="", record=None, problem=f"{content.name!r:.80} does not belong here", offset=tar.offset)
    queue_id = named[1]
    if named[2] == "json":
        return Item(queue_id=queue_id, record=None, problem="its content is missing", offset=tar.offset)
    if content.issparse():  # a few octets that stand for as many as there is room on no disk
        return Item(queue_id=queue_id, record=None, problem="its content is a file with holes", offset=tar.offset)
    digest, size = _copy(tar, content, write)
    behind = tar.offset
    envelope = tar.next()
    if envelope is None:
        return Ending(problem=f"the archive is not whole: it ends within {queue_id}")
    if envelope.name != f"messages/{queue_id}.json":
        return Item(queue_id=queue_id, record=None, problem="its envelope is missing", offset=behind)
    try:
        record = _record(_json(tar, envelope), queue_id, digest, size)
    except (ArchiveError, CodecError) as error:
        return Item(queue_id=queue_id, record=None, problem=str(error), offset=tar.offset)
    return Item(queue_id=queue_id, record=record, problem="", offset=tar.offset)


def _copy(tar: tarfile.TarFile, member: tarfile.TarInfo, write: Callable[[bytes], object]) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    file = tar.extractfile(member)
    assert file is not None  # it is a regular file
    while data := file.read(CHUNK):
        digest.update(data)
        size += len(data)
        write(data)
    if size != member.size:
        raise EOFError(f"it ends within {member.name}")
    return digest.hexdigest(), size


def _json(tar: tarfile.TarFile, member: tarfile.TarInfo) -> dict[str, Any]:
    if member.size > MAX_JSON or not member.isreg() or member.issparse():
        raise ArchiveError(f"{member.name} is too large")
    file = tar.extractfile(member)
    assert file is not None  # it is a regular file
    try:
        told = json.loads(file.read())
    except (ValueError, RecursionError):
        raise ArchiveError(f"{member.name} is not JSON") from None
    if not isinstance(told, dict):
        raise ArchiveError(f"{member.name} is not a JSON object")
    return told


def _record(told: dict[str, Any], queue_id: str, digest: str, size: int) -> Record:
    if told.get("size") != size:
        raise ArchiveError(f"its content has {size} octets, and its envelope says {told.get('size')!r:.20}")
    if told.get("sha256") != digest:
        raise ArchiveError("its content is not what was exported: the digest is wrong")
    record = decode_record(json.dumps(told.get("record")))
    if record.queue_id != queue_id:
        raise ArchiveError(f"its envelope is that of {record.queue_id!r:.40}")
    if record.finished:
        raise ArchiveError("none of its recipients waits")
    if wrong := fault(record, size):
        raise ArchiveError(wrong)
    return record
