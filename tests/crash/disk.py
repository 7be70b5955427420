"""A disk as a power cut leaves it, rebuilt from the system calls of a traced process.

What was synced is there. Of what was not, any part may be: each write whole, in part (by sectors) or not at all, each
new or removed name or not. Nothing less may be assumed (and no more is promised by POSIX).
"""

import re
from collections.abc import Iterator
from pathlib import Path
from random import Random

import attrs

SECTOR = 512
CALLS = "openat,pwrite64,write,ftruncate,unlink,unlinkat,rename,fsync,fdatasync,close,mkdir,fallocate"
_LINE = re.compile(r"(\d+) +(\w+)\((.*?)(?:\) += (-?\d+).*| <unfinished \.\.\.>)$")
_RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>.*\) += (-?\d+)")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


@attrs.frozen
class Call:
    """One system call: `start` is when it was made, `end` when it returned, as line numbers."""

    name: str
    arguments: str
    result: int
    start: int
    end: int

    @property
    def texts(self) -> list[bytes]:
        return [bytes.fromhex(text.replace("\\x", "")) for text in _TEXT.findall(self.arguments)]

    @property
    def numbers(self) -> list[int]:
        return [int(word) for word in re.split(r", *", _TEXT.sub("", self.arguments)) if word.lstrip("-").isdigit()]


def read_trace(path: Path) -> list[Call]:
    """The calls of a trace by `strace -f -xx`, in the order they returned."""
    calls: list[Call] = []
    begun: dict[tuple[str, str], tuple[str, int]] = {}
    for number, line in enumerate(path.read_text().splitlines()):
        if match := _LINE.match(line):
            thread, name, arguments, result = match.groups()
            if result is None:
                begun[thread, name] = arguments, number
            else:
                calls.append(Call(name, arguments, int(result), number, number))
        elif match := _RESUMED.match(line):
            thread, name, result = match.groups()
            arguments, start = begun.pop((thread, name))
            calls.append(Call(name, arguments, int(result), start, number))
    return calls


@attrs.define
class File:
    """`synced` is safe; `waiting` are the writes and truncations since, each with the line at which it returned."""

    synced: bytearray = attrs.field(factory=bytearray)
    waiting: list[tuple[int, int, bytes | None]] = attrs.field(factory=list)

    def sync(self, before: int) -> None:
        kept = []
        for end, offset, data in self.waiting:
            if end < before:
                _apply(self.synced, offset, data)
            else:
                kept.append((end, offset, data))
        self.waiting = kept

    def after_cut(self, chance: Random) -> bytes:
        image = bytearray(self.synced)
        for _, offset, data in self.waiting:
            fate = chance.random()
            if fate < 0.4 or data is None:
                if fate < 0.4:
                    _apply(image, offset, data)
            elif fate < 0.7:
                for start in range(0, len(data), SECTOR):
                    if chance.random() < 0.5:
                        _apply(image, offset + start, data[start : start + SECTOR])
        return bytes(image)


def _apply(image: bytearray, offset: int, data: bytes | None) -> None:
    """A write at an offset, or (None) a truncation to it."""
    if len(image) < offset:
        image.extend(bytes(offset - len(image)))
    if data is None:
        del image[offset:]
    else:
        image[offset : offset + len(data)] = data


class Disk:
    """The files below one folder. Directories are taken to be there; files are known by their names in them."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._open: dict[int, str] = {}
        self._names: dict[str, File] = {}  # as the process sees them
        self._synced: dict[str, File] = {}  # as they are on the disk
        self._changes: list[tuple[str, File | None]] = []  # names made or removed since
        self.output: list[str] = []

    def play(self, calls: list[Call]) -> Iterator[int]:
        """Carry the calls out, one at each step."""
        for number, call in enumerate(calls):
            if call.result >= 0:
                getattr(self, f"_{call.name}", self._ignore)(call)
            yield number

    def _ignore(self, call: Call) -> None:
        """A call that changes nothing here."""

    def _openat(self, call: Call) -> None:
        path = call.texts[0].decode()
        if not path.startswith(self._folder):
            self._open.pop(call.result, None)
            return
        self._open[call.result] = path
        if "O_DIRECTORY" not in call.arguments and path not in self._names and "O_CREAT" in call.arguments:
            self._names[path] = File()
            self._changes.append((path, self._names[path]))

    def _close(self, call: Call) -> None:
        self._open.pop(call.numbers[0], None)

    def _file(self, call: Call) -> File | None:
        return self._names.get(self._open.get(call.numbers[0], ""))

    def _pwrite64(self, call: Call) -> None:
        file = self._file(call)
        if file is not None:
            file.waiting.append((call.end, call.numbers[-1], call.texts[0]))

    def _write(self, call: Call) -> None:
        if call.numbers[0] == 1:
            self.output += call.texts[0].decode().splitlines()
        file = self._file(call)
        if file is not None:
            ends = [offset + len(data) for _, offset, data in file.waiting if data is not None]
            file.waiting.append((call.end, max([len(file.synced), *ends]), call.texts[0][: call.result]))

    def _ftruncate(self, call: Call) -> None:
        file = self._file(call)
        if file is not None:
            file.waiting.append((call.end, call.numbers[1], None))

    def _unlink(self, call: Call) -> None:
        path = call.texts[0].decode()
        if self._names.pop(path, None) is not None:
            self._changes.append((path, None))

    def _fsync(self, call: Call) -> None:
        path = self._open.get(call.numbers[0], "")
        if path in self._names:
            self._names[path].sync(call.start)
        elif path:
            self._sync_names(path)

    _fdatasync = _fsync

    def _sync_names(self, directory: str) -> None:
        kept = []
        for path, file in self._changes:
            if path.rpartition("/")[0] != directory:
                kept.append((path, file))
            elif file is None:
                self._synced.pop(path, None)
            else:
                self._synced[path] = file
        self._changes = kept

    def cut(self, chance: Random, into: Path) -> None:
        """Write what the disk holds when the power goes now, as files below `into`."""
        names = dict(self._synced)
        for path, file in self._changes:
            if chance.random() < 0.5:
                if file is None:
                    names.pop(path, None)
                else:
                    names[path] = file
        for path, file in names.items():
            target = into / path.removeprefix(self._folder).lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.after_cut(chance))
