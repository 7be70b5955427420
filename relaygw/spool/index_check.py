"""Whether the index of the queue leaves nothing out: each message up to its mark stands in it under all its keys, or is
loose. It changes nothing, and what looks wrong is looked at a second time, in one look, for mail goes on meanwhile.
"""

from collections.abc import Iterator

from relaygw.core.index_keys import VERSION, keys_of
from relaygw.spool.codec import CodecError, decode_record
from relaygw.spool.entries import expand, parts
from relaygw.spool.index import join_back, key_number, unpack
from relaygw.spool.reading import Reading, octets


def left_out(reading: Reading) -> Iterator[str]:
    """The queue ids of messages that a search may miss. Raises SpoolError."""
    suspect = _suspect(reading)
    if suspect:
        with reading.snapshot():
            suspect &= _suspect(reading)
    yield from sorted(suspect)


def _suspect(reading: Reading) -> set[str]:
    states = reading.execute("SELECT version, mark FROM index_state")
    version, mark = states[0] if states else (0, "")
    if version != VERSION or not isinstance(mark, str):  # it counts for nothing
        return set()
    loose = {str(queue_id) for (queue_id,) in reading.execute("SELECT queue_id FROM index_loose")}
    query = "SELECT queue_id FROM message WHERE queue_id <= ? AND damage IS NULL"
    ids = {str(queue_id) for (queue_id,) in reading.execute(query, (mark,))} - loose
    for (number,) in reading.execute("SELECT number FROM index_part"):
        ids.difference_update(_found_in(reading, number, ids))
    return ids


def _found_in(reading: Reading, number: object, ids: set[str]) -> Iterator[str]:
    """Those that are found in this part by each of their keys."""
    rows = reading.execute("SELECT ids FROM index_part WHERE number = ?", (number,))
    places = {each: place for (text,) in rows for place, each in enumerate(join_back(str(text))) if each in ids}
    under = {
        key: frozenset(unpack(octets(packed)))
        for key, packed in reading.execute("SELECT key, places FROM index_key WHERE part = ?", (number,))
    }
    for some in parts(list(places)):
        query = "SELECT queue_id, CAST(record AS BLOB) FROM message WHERE queue_id IN ?*"
        for queue_id, raw in reading.execute(expand(query, len(some)), tuple(some)):
            place = places[str(queue_id)]
            if all(place in under.get(key_number(key), ()) for key in _keys(octets(raw))):
                yield str(queue_id)


def _keys(raw: bytes) -> set[str]:
    """None of what cannot be read: it is told elsewhere."""
    try:
        return keys_of(decode_record(raw.decode("utf-8")))
    except (CodecError, UnicodeDecodeError):
        return set()
