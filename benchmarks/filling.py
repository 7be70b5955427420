"""Fills the spool of a stopped relaygw with messages, many thousand in one transaction: what a benchmark of a deep
queue begins with. Messages are committed as the gateway would have them after a first attempt in vain.

    python benchmarks/filling.py SPOOL --messages N [--size 1024] [--senders 50000] [--due SECONDS] [--spread SECONDS]

They are due in `--due` seconds and later, spread over `--spread` seconds; `--due 0` is at once. `--letter` adds one
more, of another sender, that is due behind all others. Prints the queue id of the last message.
"""

import argparse
import os
import random
import time
from collections.abc import Iterator
from itertools import islice

from relaygw.core.address import Address
from relaygw.core.envelope import Envelope, Recipient
from relaygw.core.ids import new_id
from relaygw.core.outcome import deferred
from relaygw.core.record import RecipientState, Record
from relaygw.spool.entries import make_entry
from relaygw.spool.files import ContentFiles, make_directory
from relaygw.spool.sink import Body
from relaygw.spool.store import Store

BATCH = 10_000
PREFIX = b"Received: from client.example.test by bench.example.test with ESMTP\r\n"
HEAD = (
    b"From: <sender@example.test>\r\nTo: <rcpt@dest.test>\r\nSubject: waiting\r\nMessage-ID: <%d@example.test>\r\n\r\n"
)
LINE = b"x" * 70 + b"\r\n"


def records(options: argparse.Namespace, now: float) -> Iterator[Record]:
    """The messages in the order in which they came, over the last hours; `--letter` is the last to be due."""
    chance = random.Random(1)
    refused = "connecting to 127.0.0.1: Connection was refused by other side"
    for number in range(options.messages + options.letter):
        is_letter = number == options.messages
        arrived = now - 4 * 3600.0 * (1 - number / options.messages)
        due = now + options.due + (options.spread * chance.random() if not is_letter else options.spread)
        sender = "letter" if is_letter else f"sender{number % options.senders}" if options.senders > 1 else "news"
        address = Address("rcpt" if not is_letter else "letter", options.domain)
        state = RecipientState(
            recipient=Recipient(address=address),
            attempts=1,
            due=due,
            last=deferred(address, "4.4.1", refused),
        )
        yield Record(
            queue_id=new_id(arrived, chance.getrandbits(35)),
            envelope=Envelope(sender=Address(_words(sender), "example.test"), recipients=(state.recipient,)),
            arrived=arrived,
            recipients=(state,),
            size=len(PREFIX) + options.size,
            session_id=new_id(arrived, number),
            client="127.0.0.1",
            hello="client.example.test",
            listener="mx",
            message_id=f"<{number}@example.test>",
            header_from="example.test",
        )


def _words(name: str) -> str:
    """Digits at the end would make one owner of all senders."""
    return name.translate(str.maketrans("0123456789", "abcdefghij"))


def content(number: int, size: int) -> bytes:
    head = HEAD % number
    return head + LINE * max(1, (size - len(head)) // len(LINE))


def fill(path: str, options: argparse.Namespace) -> str:
    """Fill it; answers the last queue id."""
    make_directory(path)
    make_directory(os.path.join(path, "content"))
    store = Store(os.path.join(path, "spool.sqlite"), ContentFiles(os.path.join(path, "content")))
    coming = enumerate(records(options, time.time()))
    last = ""
    while batch := list(islice(coming, BATCH)):
        contents = [content(number, options.size) for number, _ in batch]
        bodies = [Body(prefix=PREFIX, data=data, size=len(data)) for data in contents]
        with store.transaction():
            store.insert([make_entry(record, body) for (_, record), body in zip(batch, bodies, strict=True)])
        last = batch[-1][1].queue_id
        store.checkpoint()
    store.checkpoint("TRUNCATE")
    store.close()
    return last


def options_of(**given: object) -> argparse.Namespace:
    """The defaults, but for what is given."""
    found = _parser().parse_args(["spool"])
    for name, value in given.items():
        setattr(found, name, value)
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spool")
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--senders", type=int, default=50_000)
    parser.add_argument("--domain", default="dest.test")
    parser.add_argument("--due", type=float, default=3600.0)
    parser.add_argument("--spread", type=float, default=4 * 3600.0)
    parser.add_argument("--letter", action="store_true")
    return parser


if __name__ == "__main__":
    arguments = _parser().parse_args()
    print(fill(arguments.spool, arguments))
