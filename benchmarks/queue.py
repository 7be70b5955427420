"""The queue: what it takes and hands on beside Postfix + OpenDKIM, while the next hop is there and while it is down,
and what a deep queue costs.

    python benchmarks/queue.py [SECTION ...] [--messages 3000] [--down 20000] [--rounds 3] [--million] [--json]

    sessions   accepted and delivered a second, and syncs a message, at 1, 20, 100 and 400 sessions
    down       20,000 messages taken while the next hop is down, memory meanwhile, and drained when it returns
    letter     a mailing of --mailing messages is due at a start: how long a letter behind it waits, and letters that
               come while it is on its way
    deep       --deep messages in the queue: the start, memory, what is accepted beside an empty queue, `queue list`
    stalls     how long commits wait, and how long those wait that come while the log is copied into the database

All of them without a SECTION; `--million` makes the queue of `deep` a million. Figures are medians of the rounds, in
turn with the peer's. Needs root, for Postfix. Broken bounds are told on standard error, and it exits with 1.
"""

# This folder stands on the module path before the library: whoever imports "queue" means the library's.
if __name__ != "__main__":
    import importlib.util
    import os
    import sys

    _meant = importlib.util.spec_from_file_location("queue", os.path.join(os.path.dirname(os.__file__), "queue.py"))
    assert _meant is not None
    assert _meant.loader is not None
    sys.modules[__name__] = importlib.util.module_from_spec(_meant)
    _meant.loader.exec_module(sys.modules[__name__])
else:
    import queue_sections

    queue_sections.main(__doc__ or "")
