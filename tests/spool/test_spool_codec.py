"""Records survive their way through the codec whatever peers put into them; any other text is one named error."""

import contextlib
import json

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaygw.core.address import Address
from relaygw.core.envelope import Body, Envelope, Notify, Recipient
from relaygw.core.outcome import Outcome, Status
from relaygw.core.record import Detour, Intent, Origin, Progress, RecipientState, Record
from relaygw.core.reply import Reply
from relaygw.spool.codec import DIGEST, CodecError, decode_record, encode_record
from relaygw.testing.spool import make_record

# Lone surrogates included: that is how octets which are not UTF-8 arrive from headers.
texts = st.text(st.characters(), max_size=20)
times = st.floats(allow_nan=False)
addresses = st.builds(Address, texts, texts)
recipients = st.builds(
    Recipient,
    address=addresses,
    notify=st.frozensets(st.sampled_from(Notify)),
    orcpt=texts,
    expanded=st.booleans(),
    listed=st.booleans(),
)
outcomes = st.builds(
    Outcome,
    recipient=addresses,
    status=st.sampled_from(Status),
    reply=st.builds(Reply, st.integers(200, 599), texts, texts),
    remote=st.booleans(),
    host=texts,
    address=texts,
    tls=texts,
    uncertain=st.booleans(),
    relayed_dsn=st.booleans(),
    holds=st.booleans(),
    final=st.booleans(),
    quarantines=st.booleans(),
)
ways = st.none() | st.builds(Detour, route=texts.filter(bool)) | st.builds(Detour, hosts=st.tuples(texts))
states = st.builds(
    RecipientState,
    recipient=recipients,
    progress=st.sampled_from(Progress),
    attempts=st.integers(0, 1000),
    due=times,
    last=st.none() | outcomes,
    warned=st.none() | times,
    tried=st.none() | times,
    owed=st.booleans(),
    detour=ways,
)
envelopes = st.builds(
    Envelope,
    sender=st.none() | addresses,
    recipients=st.lists(recipients, max_size=3).map(tuple),
    body=st.sampled_from(Body),
    smtputf8=st.booleans(),
    requiretls=st.booleans(),
    size=st.integers(0),
    ret=texts,
    envid=texts,
)
intents = st.builds(
    Intent,
    verb=st.sampled_from(["reroute", "remove", "bounce"]),
    positions=st.lists(st.integers(0, 1000), max_size=3).map(tuple),
    reason=texts,
    keep=st.booleans(),
    to=ways,
)
records = st.builds(
    Record,
    queue_id=texts,
    envelope=envelopes,
    arrived=times,
    recipients=st.lists(states, max_size=3).map(tuple),
    size=st.integers(0),
    session_id=texts,
    client=texts,
    hello=texts,
    listener=texts,
    login=texts,
    message_id=texts,
    header_from=texts,
    origin=st.sampled_from(Origin),
    held=texts,
    quarantined=st.booleans(),
    released=st.booleans(),
    findings=st.lists(st.text(max_size=20), max_size=3).map(tuple),
    intents=st.lists(intents, max_size=3).map(tuple),
)


@given(records)
def test_every_record_survives(record: Record) -> None:
    text = encode_record(record)
    assert text.isascii()
    assert "\n" not in text
    assert decode_record(text) == record


def test_every_field_of_the_values_is_kept() -> None:
    """A field added to a value and forgotten in the codec fails here."""
    spoken = {Record: 18, Envelope: 8, Recipient: 5, RecipientState: 9, Intent: 5, Outcome: 12, Reply: 3, Address: 2}
    assert {kind: sum(field.init for field in attrs.fields(kind)) for kind in spoken} == spoken


def test_a_state_that_differs_from_the_envelope_keeps_its_own_recipient() -> None:
    record = make_record("a", recipients=2)
    other = Recipient(address=Address("alias", "example.com"))
    changed = attrs.evolve(
        record, recipients=(attrs.evolve(record.recipients[0], recipient=other), record.recipients[1])
    )
    assert decode_record(encode_record(changed)) == changed
    assert encode_record(changed).count("alias") == 1


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_any_other_text_is_one_error(text: str) -> None:
    with pytest.raises(CodecError):
        decode_record(text)


@given(st.data())
def test_a_record_with_one_wrong_value_is_a_record_or_one_error(data: st.DataObject) -> None:
    told = json.loads(encode_record(make_record("a", recipients=2)))
    place = told
    for _ in range(data.draw(st.integers(0, 3))):
        inner = [value for value in (place.values() if isinstance(place, dict) else place) if value]
        inner = [value for value in inner if isinstance(value, dict | list)]
        if not inner:
            break
        place = data.draw(st.sampled_from(inner))
    key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
    place[key] = data.draw(st.none() | st.integers() | st.text() | st.lists(st.integers(), max_size=3) | st.just({}))
    with contextlib.suppress(CodecError):
        assert isinstance(decode_record(json.dumps(told)), Record)


def test_a_newer_version_is_refused_by_name() -> None:
    told = json.loads(encode_record(make_record("a")))
    with pytest.raises(CodecError, match="version 2"):
        decode_record(json.dumps({**told, "v": 2}))


@given(st.data())
def test_a_flipped_bit_is_an_error_and_never_another_record(data: st.DataObject) -> None:
    """One that leaves JSON behind, too: mail must not go to somebody else."""
    record = make_record("a", recipients=2)
    octets = bytearray(encode_record(record).encode())
    octets[data.draw(st.integers(0, len(octets) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with contextlib.suppress(CodecError, UnicodeDecodeError):
        assert decode_record(octets.decode()) == record


def test_a_text_of_an_older_program_has_no_digest() -> None:
    record = make_record("a")
    told = json.loads(encode_record(record))
    del told[DIGEST]
    assert decode_record(json.dumps(told, separators=(",", ":"))) == record
    with pytest.raises(CodecError, match="its digest is wrong"):
        decode_record(encode_record(record).replace("example", "exbmple"))
