"""Every step of a message's life, kept twice: as JSON lines for people and collectors, as history for `relaygw trace`.

relaygw.journal.line      one event → one JSON object (its shape is described there)
relaygw.journal.journal   the Journal: takes events, never raises, writes both in a thread of its own
relaygw.journal.history   the searchable history, one file a day; readable also when the service is down
relaygw.journal.story     events → lines for people
"""
