"""Out of one spool and into another, octet for octet, field for field, and once; what is damaged is refused by name."""

import hashlib
import io
import itertools
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relaygw.cli.direct import run_now
from relaygw.core.address import Address
from relaygw.core.content import BytesContent
from relaygw.core.envelope import Recipient
from relaygw.core.events import Event, Imported
from relaygw.core.record import Intent, Progress, Record
from relaygw.interfaces import ISink, Settlement, SpoolError
from relaygw.spool.adoption import REMEMBERED
from relaygw.spool.archive import END, MAX_JSON, ArchiveError, Ending, Item, Writer, read_head, read_item
from relaygw.spool.codec import encode_record
from relaygw.spool.desk import MESSAGES as MOST
from relaygw.spool.desk import SECONDS, SpoolDesk
from relaygw.spool.reading import Reading
from relaygw.spool.sqlite import SqliteSpool
from relaygw.spool.store import Store
from relaygw.testing.spool import LARGE, NOW, PREFIX, SMALL, make_record, progressed, read, store

MESSAGES = (("small", SMALL), ("large", LARGE), ("empty", b""), ("held", b"\r\nno header, \x00\xff\n"))


def opened(path: Path) -> SqliteSpool:
    spool = SqliteSpool(str(path), None)
    spool.open()
    return spool


def record_of(queue_id: str, data: bytes) -> Record:
    record = make_record(queue_id, recipients=2, size=len(PREFIX) + len(data))
    return attrs.evolve(record, held="a look" if queue_id == "held" else "")


@pytest.fixture
def source(tmp_path: Path) -> SqliteSpool:
    spool = opened(tmp_path / "source")
    for queue_id, data in MESSAGES:
        run_now(store(spool, record_of(queue_id, data), data))
    return spool


def write(source: SqliteSpool, path: Path, archive: str = "one") -> Path:
    with Reading(source.path) as reading, path.open("wb") as file:
        writer = Writer(file, archive=archive, hostname="mail.example.com", created=NOW)
        for row in reading.messages():
            writer.put(row.record(), reading.content(row))
        writer.close()
    assert writer.messages == len(MESSAGES)
    assert writer.octets == sum(len(PREFIX) + len(data) for _, data in MESSAGES)
    return path


@pytest.fixture
def archive(source: SqliteSpool, tmp_path: Path) -> Path:
    return write(source, tmp_path / "all.tar")


@attrs.define
class Target:
    """A spool that takes archives in."""

    spool: SqliteSpool
    events: list[Event] = attrs.Factory(list)
    due: list[float] = attrs.Factory(list)
    elapsed: Callable[[], float] = lambda: 0.0
    slices: int = 0

    def take_in(self, path: Path) -> dict[str, Any]:
        desk = SpoolDesk(
            self.spool,
            now=lambda: NOW,
            write_event=self.events.append,
            fell_due=self.due.append,
            elapsed=self.elapsed,
        )
        told: dict[str, Any] = {"imported": [], "present": [], "refused": [], "problem": ""}
        offset = 0
        while True:
            part = run_now(desk.take_in(str(path), offset))
            self.slices += 1
            for name in ("imported", "present", "refused"):
                told[name] += part[name]
            told["problem"], offset = part["problem"], part["offset"]
            if not offset:
                return told


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return Target(opened(tmp_path / "target"))


def test_round_trip(archive: Path, target: Target) -> None:
    told = target.take_in(archive)
    assert sorted(told["imported"]) == sorted(queue_id for queue_id, _ in MESSAGES)
    assert (told["present"], told["refused"], told["problem"]) == ([], [], "")
    for queue_id, data in MESSAGES:
        assert run_now(target.spool.record(queue_id)) == record_of(queue_id, data)
        assert read(run_now(target.spool.content(queue_id))) == PREFIX + data
    assert len([event for event in target.events if isinstance(event, Imported)]) == len(MESSAGES)
    assert min(target.due) == NOW


def test_a_slice_ends_when_its_time_is_over_and_the_next_one_goes_on_behind_it(archive: Path, target: Target) -> None:
    looks = itertools.count()
    target.elapsed = lambda: next(looks) * 0.75 * SECONDS  # there is time for one message, and for no second one
    told = target.take_in(archive)
    assert told["imported"] == sorted(queue_id for queue_id, _ in MESSAGES)
    assert target.slices == len(MESSAGES) + 1, "one finds the end"


def test_a_slice_takes_only_so_many(source: SqliteSpool, target: Target, tmp_path: Path) -> None:
    path = tmp_path / "many.tar"
    with path.open("wb") as file:
        writer = Writer(file, archive="many", hostname="mail.example.com", created=NOW)
        for number in range(MOST + 1):
            writer.put(make_record(f"m{number:03}", size=1), BytesContent(b"x"))
        writer.close()
    told = target.take_in(path)
    assert len(told["imported"]) == MOST + 1
    assert target.slices == 2


def test_any_program_can_read_it(archive: Path) -> None:
    with tarfile.open(archive) as tar:
        names = tar.getnames()
        assert (names[0], names[-1]) == ("relaygw-archive.json", END)
        mail = tar.extractfile("messages/large.eml")
        envelope = tar.extractfile("messages/large.json")
        assert mail is not None
        assert envelope is not None
        assert mail.read() == PREFIX + LARGE
        assert json.load(envelope)["record"]["envelope"]["sender"] == ["sender", "example.org"]
        head, end = tar.extractfile("relaygw-archive.json"), tar.extractfile("relaygw-archive-end.json")
        assert head is not None
        assert end is not None
        told = {"format": 1, "archive": "one", "hostname": "mail.example.com", "created": NOW}
        assert (json.load(head), json.load(end)) == (told, {"messages": len(MESSAGES)})


def test_it_comes_in_once_also_when_it_has_been_delivered_since(archive: Path, target: Target) -> None:
    target.take_in(archive)
    run_now(target.spool.settle(Settlement(record=progressed(record_of("small", SMALL), Progress.DELIVERED))))
    told = target.take_in(archive)
    assert (told["imported"], len(told["present"])) == ([], len(MESSAGES))
    assert run_now(target.spool.record("small")) is None
    assert len(list((Path(target.spool.path) / "content").iterdir())) == 1


def test_another_archive_of_the_same_messages_finds_them_present(
    source: SqliteSpool, archive: Path, target: Target, tmp_path: Path
) -> None:
    target.take_in(archive)
    assert len(target.take_in(write(source, tmp_path / "two.tar", "two"))["present"]) == len(MESSAGES)


def test_another_message_of_the_same_id_is_not_overwritten(archive: Path, target: Target) -> None:
    mine = attrs.evolve(make_record("small"), arrived=5.0)
    run_now(store(target.spool, mine, b"mine"))
    told = target.take_in(archive)
    assert told["refused"] == [{"id": "small", "problem": "another message has its queue id"}]
    assert run_now(target.spool.record("small")) == mine


def test_damaged_messages_are_refused_by_name_and_the_others_come_in(archive: Path, target: Target) -> None:
    data = bytearray(archive.read_bytes())
    place = data.index(LARGE[:200])
    data[place + 100_000] ^= 1
    text = bytes(data).replace(b'"queue_id": "held"', b'"queue_id": "hell"', 1)
    archive.write_bytes(text)
    told = target.take_in(archive)
    problems = {each["id"]: each["problem"] for each in told["refused"]}
    assert "digest is wrong" in problems["large"]
    assert "is that of 'hell'" in problems["held"]
    assert sorted(told["imported"]) == ["empty", "small"]
    assert list((Path(target.spool.path) / "content").iterdir()) == [], "what was refused left its file behind"


class Failing(SqliteSpool):
    """Cannot store the message of this id."""

    bad = "held"

    async def adopt(self, record: Record, sink: ISink, archive: str, now: float) -> str:
        if record.queue_id == self.bad:
            raise SpoolError("the disk is full")
        return await super().adopt(record, sink, archive, now)


def test_a_spool_that_fails_keeps_what_it_took_and_goes_on_later(archive: Path, tmp_path: Path) -> None:
    spool = Failing(str(tmp_path / "failing"), None)
    spool.open()
    target = Target(spool)
    with pytest.raises(SpoolError, match="the disk is full"):
        target.take_in(archive)
    there = sorted(event.queue_id for event in target.events if isinstance(event, Imported))
    assert there == ["empty", "large", "small"]
    assert len(target.due) == len(there), "nobody would look for them"
    spool.bad = ""
    told = target.take_in(archive)
    assert (told["imported"], sorted(told["present"])) == (["held"], there)


def test_an_archive_that_was_cut_off_gives_what_is_whole_and_says_so(archive: Path, target: Target) -> None:
    data = archive.read_bytes()
    archive.write_bytes(data[: data.index(b"messages/large.json")])
    told = target.take_in(archive)
    assert told["problem"]
    assert "large" not in told["imported"]
    write_again = target.take_in(archive)
    assert write_again["present"] == told["imported"]


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"", "not a tar file"), (b"x" * 2000, "not a tar file"), (b"\0" * 10240, "does not begin")],
)
def test_what_is_no_archive_is_refused(data: bytes, words: str, target: Target, tmp_path: Path) -> None:
    (tmp_path / "odd").write_bytes(data)
    with pytest.raises(ArchiveError, match=words):
        target.take_in(tmp_path / "odd")


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b'{"format": 2, "archive": "x"}', "its format is 2"),
        (b'{"format": 1}', "which archive"),
        (b"[]", "not a JSON object"),
        (b"{", "not JSON"),
    ],
)
def test_an_archive_of_another_kind_is_refused(head: bytes, words: str) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        info = tarfile.TarInfo("relaygw-archive.json")
        info.size = len(head)
        tar.addfile(info, io.BytesIO(head))
    with pytest.raises(ArchiveError, match=words):
        read_head(file)


def test_paths_are_absolute_and_of_files(target: Target, tmp_path: Path) -> None:
    for path, words in (("relative.tar", "not an absolute path"), (str(tmp_path), "no such file")):
        with pytest.raises(ArchiveError, match=words):
            target.take_in(Path(path))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=25)
@given(place=st.floats(0, 1), damage=st.binary(min_size=1, max_size=600))
def test_octets_changed_anywhere_are_a_refusal_or_an_end_never_another_message(
    place: float, damage: bytes, archive: Path
) -> None:
    data = bytearray(archive.read_bytes())
    at = int(place * (len(data) - len(damage)))
    data[at : at + len(damage)] = damage
    file = io.BytesIO(bytes(data))
    good = {queue_id: record_of(queue_id, data) for queue_id, data in MESSAGES}
    try:
        offset = read_head(file).offset
    except ArchiveError:
        return
    for _ in range(20):
        written = io.BytesIO()
        item = read_item(file, offset, written.write)
        if isinstance(item, Ending):
            return
        if item.record is not None:
            assert written.getvalue() == PREFIX + dict(MESSAGES)[item.queue_id]
            assert item.record.envelope.recipients == good[item.queue_id].envelope.recipients
        assert item.offset > offset
        offset = item.offset


def foreign(tmp_path: Path, record: Record, data: bytes = SMALL) -> Path:
    """An archive of a record that nobody's doors have looked at, and of one that is as it should be."""
    path = tmp_path / "foreign.tar"
    with path.open("wb") as file:
        writer = Writer(file, archive="foreign", hostname="elsewhere.example", created=NOW)
        for each in (record, make_record("good", size=len(data))):
            writer.put(each, BytesContent(data))
        writer.close()
    return path


def due(record: Record, moment: float) -> Record:
    return attrs.evolve(record, recipients=tuple(attrs.evolve(state, due=moment) for state in record.recipients))


def to(record: Record, address: Address, orcpt: str = "") -> Record:
    recipient = Recipient(address=address, orcpt=orcpt)
    state = attrs.evolve(record.recipients[0], recipient=recipient)
    return attrs.evolve(record, recipients=(state,))


@pytest.mark.parametrize(
    "change",
    [
        lambda record: to(record, Address("a\r\nDATA", "example.net")),
        lambda record: to(record, Address("a", "example.net\r\nDATA")),
        lambda record: to(record, Address("a", "EXAMPLE.net")),
        lambda record: attrs.evolve(
            record, envelope=attrs.evolve(record.envelope, sender=Address("a", "b.example> SIZE=1"))
        ),
        lambda record: attrs.evolve(record, envelope=attrs.evolve(record.envelope, ret="FULL\r\nQUIT")),
        lambda record: attrs.evolve(record, header_from="example.net\r\nX: y"),
        lambda record: attrs.evolve(record, client="not an address"),
        lambda record: attrs.evolve(record, arrived=1e300),
        lambda record: attrs.evolve(record, size=record.size + 1),
        lambda record: due(record, float("nan")),
        lambda record: due(record, float("inf")),
        lambda record: due(record, -1.0),
        lambda record: attrs.evolve(record, intents=(Intent(verb="remove", positions=(0, len(record.recipients))),)),
        lambda record: attrs.evolve(record, intents=(Intent(verb="remove", positions=(-1,)),)),
        lambda record: attrs.evolve(record, intents=(Intent(verb="bounce", positions=()),)),
    ],
)
def test_a_record_that_no_door_would_let_in_is_refused_and_holds_up_nobody(
    change: Callable[[Record], Record], target: Target, tmp_path: Path
) -> None:
    told = target.take_in(foreign(tmp_path, change(make_record("bad", size=len(SMALL)))))
    assert [each["id"] for each in told["refused"]] == ["bad"]
    assert told["imported"] == ["good"]


def test_words_and_what_clients_quote_may_have_lines(target: Target, tmp_path: Path) -> None:
    """ENVID=a+0D+0A and the like are no fault of ours: they are quoted again when they go out."""
    record = to(make_record("held", size=len(SMALL)), Address("a", "example.net"), "rfc822;a\r\nb")
    envelope = attrs.evolve(record.envelope, envid="e\r\nf")
    record = attrs.evolve(record, envelope=envelope, held="two\nlines", hello="a\tb")
    told = target.take_in(foreign(tmp_path, record))
    assert told["imported"] == ["held", "good"]


def tar_with(path: Path, *members: tuple[str, bytes, dict[str, str]]) -> Path:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        head = json.dumps({"format": 1, "archive": "made", "hostname": "h"}).encode()
        for name, data, headers in (("relaygw-archive.json", head, dict[str, str]()), *members):
            info = tarfile.TarInfo(name)
            info.size, info.pax_headers = len(data), headers
            tar.addfile(info, io.BytesIO(data))
    return path


def envelope(record: Record, data: bytes, **more: object) -> bytes:
    told = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "record": json.loads(encode_record(record))}
    return json.dumps(told | more).encode()


MAIL, GOOD = b"Subject: x\r\n\r\n", make_record("Q", size=14)


@pytest.mark.parametrize(
    ("told", "problem"),
    [
        (envelope(GOOD, MAIL), ""),
        (envelope(GOOD, MAIL, size=13), "its content has 14 octets, and its envelope says 13"),
        (envelope(GOOD, MAIL, sha256="0" * 64), "its content is not what was exported: the digest is wrong"),
        (envelope(make_record("R", size=14), MAIL), "its envelope is that of 'R'"),
        (envelope(progressed(GOOD, Progress.DELIVERED), MAIL), "none of its recipients waits"),
        (envelope(GOOD, MAIL)[:-1], "messages/Q.json is not JSON"),
        (b"[" * 100_000, "messages/Q.json is not JSON"),
        (b'"text"', "messages/Q.json is not a JSON object"),
    ],
)
def test_an_envelope_that_does_not_belong_to_its_content_is_refused(told: bytes, problem: str, tmp_path: Path) -> None:
    path = tar_with(tmp_path / "a.tar", ("messages/Q.eml", MAIL, {}), ("messages/Q.json", told, {}), (END, b"{}", {}))
    with path.open("rb") as file:
        item = read_item(file, read_head(file).offset, lambda data: None)
        assert isinstance(item, Item)
        assert (item.queue_id, item.problem, item.record) == ("Q", problem, None if problem else GOOD)
        assert read_item(file, item.offset, lambda data: None) == Ending(problem="")


def test_what_does_not_belong_there_is_passed_over_one_by_one(tmp_path: Path) -> None:
    path = tar_with(
        tmp_path / "a.tar",
        ("other.txt", b"x", {}),
        ("messages/../Q.eml", b"x", {}),
        ("messages/A.json", b"{}", {}),
        ("messages/B.eml", MAIL, {}),
        ("messages/C.json", b"{}", {}),
        ("messages/Q.eml", MAIL, {}),
        ("messages/Q.json", envelope(GOOD, MAIL), {}),
        ("messages/D.eml", MAIL, {}),
    )
    found = []
    with path.open("rb") as file:
        offset = read_head(file).offset
        while isinstance(item := read_item(file, offset, lambda data: None), Item):
            found.append((item.queue_id, item.problem))
            offset = item.offset
    assert found == [
        ("", "'other.txt' does not belong here"),
        ("", "'messages/../Q.eml' does not belong here"),
        ("A", "its content is missing"),
        ("B", "its envelope is missing"),
        ("C", "its content is missing"),
        ("Q", ""),
    ]
    assert item == Ending(problem="the archive is not whole: it ends within D")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE])
def test_what_is_no_file_is_not_followed(kind: bytes, archive: Path) -> None:
    """Neither for a content nor for an envelope, nor as the head itself."""
    for name in ("relaygw-archive.json", "messages/Q.eml", "messages/Q.json"):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w") as tar:
            for member in ("messages/Q.eml", "messages/Q.json") if name.endswith("Q.json") else (name,):
                info = tarfile.TarInfo(member)
                info.type, info.linkname = (kind, str(archive)) if member == name else (tarfile.REGTYPE, "")
                tar.addfile(info)
        if name.startswith("messages"):
            item = read_item(file, 0, lambda data: None)
            assert isinstance(item, Item)
            assert (item.record, bool(item.problem)) == (None, True)
        else:
            with pytest.raises(ArchiveError):
                read_head(file)


@pytest.mark.parametrize(("size", "words"), [(MAX_JSON, "not a tar file"), (MAX_JSON + 1, "too large")])
def test_json_is_read_up_to_a_size(size: int, words: str) -> None:
    """What it says is its size counts: there is nothing behind it here."""
    info = tarfile.TarInfo("relaygw-archive.json")
    info.size = size
    with pytest.raises(ArchiveError, match=words):
        read_head(io.BytesIO(info.tobuf()))


def test_a_content_with_holes_is_refused_without_being_written(tmp_path: Path) -> None:
    """A file of 4 KB must not become one of a terabyte in the spool."""
    holes = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.size": str(10**12)}
    holes |= {"GNU.sparse.map": f"0,512,{10**12},0", "GNU.sparse.name": "messages/Q.eml"}
    path = tar_with(tmp_path / "holes.tar", ("messages/Q.eml", b"x" * 512, holes), ("messages/Q.json", b"{}", {}))
    written: list[bytes] = []
    with path.open("rb") as file:
        item = read_item(file, read_head(file).offset, written.append)
    assert isinstance(item, Item)
    assert (item.record, written) == (None, [])


@pytest.mark.parametrize("size", ["-512", "-1024", "-100000", "99999999999999999999999"])
@pytest.mark.parametrize("which", [0, 1])
def test_sizes_that_lead_nowhere_or_back_are_an_end_or_a_refusal(size: str, which: int, tmp_path: Path) -> None:
    """The command that imports goes on where it is told to, and must come to an end."""
    members = [("messages/Q.eml", b"x" * 512, dict[str, str]()), ("messages/Q.json", b"{}", dict[str, str]())]
    members[which] = (*members[which][:2], {"size": size})
    path = tar_with(tmp_path / "sizes.tar", *members)
    with path.open("rb") as file:
        offset = read_head(file).offset
        for _ in range(10):
            item = read_item(file, offset, lambda data: None)
            if isinstance(item, Ending):
                return
            assert item.record is None
            assert item.offset > offset
            offset = item.offset
    pytest.fail("it does not end")


def test_what_was_taken_in_long_ago_is_forgotten_with_the_next_archive(
    archive: Path, source: SqliteSpool, target: Target, tmp_path: Path
) -> None:
    """What is remembered is gone over once per archive, not once per message."""
    spool = target.spool
    target.take_in(archive)
    old = "UPDATE imported SET moment = ?"
    run_now(spool._call(lambda store: store.execute(old, (NOW - REMEMBERED - 1,)).rowcount))
    target.take_in(write(source, tmp_path / "second.tar", "two"))
    assert run_now(spool._call(_remembered)) == ["one"] * len(MESSAGES)  # all were there: nothing came in
    target.take_in(foreign(tmp_path, make_record("new", size=len(SMALL))))
    assert run_now(spool._call(_remembered)) == ["foreign"] * 2


def _remembered(store: Store) -> list[str]:
    return [archive for (archive,) in store.execute("SELECT archive FROM imported")]
