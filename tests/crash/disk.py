"""A disk as a power cut leaves it, rebuilt from the log of the shim (shim.py).

What was synced is there. Of what was not, any part may be: each write whole, in part (by sectors) or not at all, in any
order; a file that grew may have zeros or old rubbish where its octets never came; each new, moved or removed name is
there or not. Nothing less may be assumed (and no more is promised by POSIX). A sync that fails has dropped what it was
for: some of it is on the disk, and no later sync will write the rest, though reading shows it until the power goes.
"""

import enum
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from random import Random

import attrs

SECTOR = 512
_HEAD = struct.Struct("<ccHiqq")


@attrs.frozen
class Call:
    """One entry of the log, as disk_shim.c notes it; `end` is the length of the log with it."""

    kind: str
    flag: int
    number: int
    offset: int
    name: str
    data: bytes
    end: int


def read_log(raw: bytes) -> list[Call]:
    """The entries of a log. One that a crash cut short is left out."""
    calls: list[Call] = []
    place = 0
    while place + _HEAD.size <= len(raw):
        kind, flag, name_size, number, offset, size = _HEAD.unpack_from(raw, place)
        start = place + _HEAD.size + name_size
        place = start + (size if kind in b"wmrl" else 0)
        if place > len(raw):
            break
        name = raw[start - name_size : start].decode()
        calls.append(Call(kind.decode(), flag[0], number, offset, name, raw[start:place], place))
    return calls


class Fate(enum.Enum):
    """What becomes of that which was not synced."""

    LOST = "lost"
    KEPT = "kept"
    TORN = "torn"  # each write and name has a fate of its own
    LAST_TORN = "last torn"  # all but the last write, of which some sectors


FATES = (Fate.LOST, Fate.KEPT, Fate.TORN, Fate.TORN, Fate.TORN, Fate.LAST_TORN)

Write = tuple[int, bytes | None]
"""An offset and what was written there, or None: the file was cut to it."""


@attrs.define(eq=False)
class File:
    """`synced` is safe; `waiting` are the writes since, `settled` the number of those before; `seen` is what reading
    shows."""

    synced: bytearray = attrs.field(factory=bytearray)
    seen: bytearray = attrs.field(default=attrs.Factory(lambda self: bytearray(self.synced), takes_self=True))
    waiting: list[Write] = attrs.field(factory=list)
    settled: int = 0

    def write(self, offset: int, data: bytes | None) -> None:
        self.waiting.append((offset, data))
        _apply(self.seen, offset, data)

    @property
    def written(self) -> int:
        """How many writes there were."""
        return self.settled + len(self.waiting)

    def sync(self, written: int) -> None:
        """The first so many writes are safe now."""
        _write(self.synced, self._take(written))

    def drop(self, written: int, chance: Random) -> None:
        """Syncing them failed: who knows which are on the disk, and the others never will be."""
        _tear(self.synced, self._take(written), chance)

    def _take(self, written: int) -> list[Write]:
        many = max(0, written - self.settled)
        taken = self.waiting[:many]
        del self.waiting[:many]
        self.settled += many
        return taken

    def after_cut(self, fate: Fate, chance: Random) -> bytes:
        image = bytearray(self.synced)
        if fate is Fate.KEPT:
            _write(image, self.waiting)
        elif fate is Fate.TORN:
            _tear(image, self.waiting, chance)
        elif fate is Fate.LAST_TORN and self.waiting:
            _write(image, self.waiting[:-1])
            offset, data = self.waiting[-1]
            _tear_one(image, offset, data, chance)
        return bytes(image)


def _write(image: bytearray, writes: Iterable[Write]) -> None:
    for offset, data in writes:
        _apply(image, offset, data)


def _tear(image: bytearray, writes: Iterable[Write], chance: Random) -> None:
    for offset, data in writes:
        fate = chance.random()
        if fate < 0.4:
            _apply(image, offset, data)
        elif fate < 0.7:
            _tear_one(image, offset, data, chance)


def _tear_one(image: bytearray, offset: int, data: bytes | None, chance: Random) -> None:
    """Some sectors of a write. Where it made the file longer, what did not come is rubbish or zeros."""
    if data is None:
        if chance.random() < 0.5:
            _apply(image, offset, None)
        return
    if chance.random() < 0.5 and len(image) < offset + len(data):
        start = max(len(image), offset)
        rubbish = (
            bytes(offset + len(data) - start) if chance.random() < 0.5 else chance.randbytes(offset + len(data) - start)
        )
        _apply(image, start, rubbish)
    start = 0
    while start < len(data):
        end = min(len(data), start + SECTOR - (offset + start) % SECTOR)
        if chance.random() < 0.5:
            _apply(image, offset + start, data[start:end])
        start = end


def _apply(image: bytearray, offset: int, data: bytes | None) -> None:
    if len(image) < offset:
        image.extend(bytes(offset - len(image)))
    if data is None:
        del image[offset:]
    else:
        image[offset : offset + len(data)] = data


DIRECTORY = File()
"""What stands for a directory among the names."""

Names = dict[str, File]
Image = Mapping[str, bytes | None]
"""What a disk holds: octets by name below the folder; None: a directory."""


class Disk:
    """The files below one folder, which itself is durable. `chance` decides what failed syncs leave."""

    def __init__(self, folder: str, image: Image, chance: Random) -> None:
        self._folder = folder
        self._chance = chance
        self._open: dict[int, File] = {}
        self._directories: dict[int, str] = {}
        self._synced: Names = {
            f"{folder}/{name}": DIRECTORY if data is None else File(bytearray(data)) for name, data in image.items()
        }
        self._names = dict(self._synced)  # as the process sees them
        self._changes: list[tuple[int, str, File | None]] = []  # names made or removed since, numbered
        self._changed = 0
        self._syncing: dict[int, tuple[File | None, str, int]] = {}
        self.marks: list[bytes] = []

    def play(self, calls: Iterable[Call]) -> Iterator[int]:
        """Carry the calls out, one at each step."""
        for number, call in enumerate(calls):
            _ACTIONS[call.kind](self, call)
            yield number

    def _opened(self, call: Call) -> None:
        file = self._names.get(call.name)
        if call.name == self._folder or file is DIRECTORY:
            self._directories[call.number] = call.name
            return
        if file is None:
            file = File()
            self._set(call.name, file)
        elif call.offset:
            file.write(0, None)
        self._open[call.number] = file

    def _set(self, name: str, file: File | None) -> None:
        if file is None:
            self._names.pop(name, None)
        else:
            self._names[name] = file
        self._changed += 1
        self._changes.append((self._changed, name, file))

    def _closed(self, call: Call) -> None:
        self._open.pop(call.number, None)
        self._directories.pop(call.number, None)

    def _written(self, call: Call) -> None:
        self._open[call.number].write(call.offset, call.data)

    def _truncated(self, call: Call) -> None:
        self._open[call.number].write(call.offset, None)

    def _sync_begun(self, call: Call) -> None:
        file = self._open.get(call.number)
        count = file.written if file is not None else self._changed
        self._syncing[call.offset] = file, self._directories.get(call.number, ""), count

    def _sync_ended(self, call: Call) -> None:
        file, directory, count = self._syncing.pop(call.offset)
        if file is None:
            if not call.flag:
                self._sync_names(directory, count)
        elif call.flag:
            file.drop(count, self._chance)
        else:
            file.sync(count)

    def _sync_names(self, directory: str, count: int) -> None:
        kept = []
        for number, name, file in self._changes:
            if number <= count and name.rpartition("/")[0] == directory:
                _change(self._synced, name, file)
            else:
                kept.append((number, name, file))
        self._changes = kept

    def _unlinked(self, call: Call) -> None:
        self._set(call.name, None)

    def _renamed(self, call: Call) -> None:
        self._set(call.data.decode(), self._names[call.name])
        self._set(call.name, None)

    def _linked(self, call: Call) -> None:
        self._set(call.data.decode(), self._names[call.name])

    def _made_directory(self, call: Call) -> None:
        self._set(call.name, DIRECTORY)

    def _marked(self, call: Call) -> None:
        self.marks.append(call.data)

    def _failed(self, call: Call) -> None:
        """A call that changed nothing."""

    def cut(self, fate: Fate, chance: Random) -> Image:
        """What the disk holds when the power goes now."""
        names = dict(self._synced)
        for _, name, file in self._changes:
            if fate in (Fate.KEPT, Fate.LAST_TORN) or (fate is Fate.TORN and chance.random() < 0.5):
                _change(names, name, file)
        found = {name: None if file is DIRECTORY else file.after_cut(fate, chance) for name, file in names.items()}
        return self._reachable(found)

    def seen(self) -> Image:
        """What the process sees: as the folder itself must be."""
        return self._reachable(
            {name: None if file is DIRECTORY else bytes(file.seen) for name, file in self._names.items()}
        )

    def _reachable(self, found: Mapping[str, bytes | None]) -> Image:
        """By name below the folder, without what lies in a directory that is not there. Parents come first."""
        image: dict[str, bytes | None] = {}
        for name in sorted(found):
            parent = name.rpartition("/")[0]
            if parent == self._folder or image.get(parent[len(self._folder) + 1 :], b"") is None:
                image[name[len(self._folder) + 1 :]] = found[name]
        return image


def _change(names: Names, name: str, file: File | None) -> None:
    if file is None:
        names.pop(name, None)
    else:
        names[name] = file


_ACTIONS = {
    "o": Disk._opened,
    "c": Disk._closed,
    "w": Disk._written,
    "t": Disk._truncated,
    "s": Disk._sync_begun,
    "S": Disk._sync_ended,
    "u": Disk._unlinked,
    "r": Disk._renamed,
    "l": Disk._linked,
    "d": Disk._made_directory,
    "m": Disk._marked,
    "x": Disk._failed,
}


def write_image(image: Image, folder: Path) -> None:
    """Make the folder hold this and nothing else."""
    folder.mkdir(parents=True)
    for name, data in image.items():
        if data is None:
            (folder / name).mkdir()
        else:
            (folder / name).write_bytes(data)


def read_image(folder: Path) -> Image:
    """What the folder holds."""
    found = sorted(folder.rglob("*"))
    return {str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes() for path in found}
