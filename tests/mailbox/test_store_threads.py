"""The store over real threads: deliveries and sessions at once, and every notice in order."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import gatherResults, inlineCallbacks
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import TestCase

from relaygw.bridge import as_deferred
from relaygw.core.content import BytesContent
from relaygw.mailbox.store import Store
from relaygw.mailbox.values import Change, Flag, FlagMode

reactor: Any = _reactor


class StoreThreadsTest(TestCase):
    timeout = 300

    def setUp(self) -> None:
        self.path = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.path)
        self.pool = ThreadPool(0, 6)
        self.pool.start()
        self.addCleanup(self.pool.stop)
        self.store = Store(str(self.path / "mail"), reactor, self.pool)
        self.addCleanup(lambda: as_deferred(self.store.close()))

    @inlineCallbacks
    def test_everything_at_once_ends_in_one_order_that_all_saw(self) -> Any:
        account = yield as_deferred(self.store.account("alice"))
        folder = yield as_deferred(account.open("INBOX"))
        view: list[int] = []

        def follow(change: Change) -> None:
            view.extend(entry.uid for entry in change.added)
            for uid in change.expunged:
                view.remove(uid)

        folder.watch(follow)
        texts = [b"Subject: %d\r\n\r\nx\r\n" % number for number in range(60)]
        work = [as_deferred(self.store.deliver("alice", [text])) for text in texts[:30]]
        work += [as_deferred(folder.append(BytesContent(text))) for text in texts[30:]]
        for _ in range(10):
            work.append(as_deferred(folder.store_flags(range(1, 20), FlagMode.ADD, frozenset({Flag.SEEN}))))
            work.append(as_deferred(folder.refresh()))
        yield gatherResults(work, consumeErrors=True)
        yield as_deferred(folder.refresh())
        uids = [entry.uid for entry in folder.messages()]
        assert view == uids == list(range(1, 61))
        contents = yield gatherResults([as_deferred(folder.content(uid)) for uid in uids])
        assert sorted(b"".join(content.chunks()) for content in contents) == sorted(texts)
        yield as_deferred(folder.expunge(uids[::2]))
        assert view == uids[1::2]
        yield as_deferred(folder.close())
        yield as_deferred(account.close())

    @inlineCallbacks
    def test_sessions_that_come_and_go_do_not_trip_over_each_other(self) -> Any:
        async def session(number: int) -> int:
            account = await self.store.account("alice")
            folder = await account.open("INBOX")
            uid = await folder.append(BytesContent(b"Subject: %d\r\n\r\n" % number))
            await folder.close()
            await account.close()
            return uid

        uids = yield gatherResults([as_deferred(session(number)) for number in range(25)], consumeErrors=True)
        assert sorted(uids) == list(range(1, 26))
        again = yield as_deferred(session(99))
        assert again == 26
