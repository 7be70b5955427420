"""What arrives for a DNS question is read in order, whoever is first; after its end every reader learns of it."""

from twisted.trial.unittest import SynchronousTestCase

from relaygw.dns.inbox import Inbox


class InboxTests(SynchronousTestCase):
    def test_what_came_before_the_end_is_read_first_and_the_end_as_often_as_one_asks(self) -> None:
        inbox = Inbox()
        inbox.put(b"one")
        inbox.put(b"two")
        inbox.end(EOFError("closed"))
        assert [self.successResultOf(inbox.get()) for _ in range(2)] == [b"one", b"two"]
        for _ in range(2):
            assert self.failureResultOf(inbox.get(), EOFError)

    def test_a_reader_who_waits_gets_the_next_thing_or_the_end(self) -> None:
        inbox = Inbox()
        first = inbox.get()
        inbox.put(b"one")
        assert self.successResultOf(first) == b"one"
        second = inbox.get()
        inbox.end(EOFError("closed"))
        assert self.failureResultOf(second, EOFError)

    def test_who_waits_no_more_takes_nothing_from_others(self) -> None:
        inbox = Inbox()
        inbox.get().addErrback(lambda failure: None).cancel()
        inbox.put(b"one")
        assert self.successResultOf(inbox.get()) == b"one"
