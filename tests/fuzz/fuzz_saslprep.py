"""Any text is prepared or refused by name, and what is prepared stays as it is."""

from relaygw.core.saslprep import NotPreparable, saslprep

_TEXTS = ("user", "I\u00adX", "\u2168", "\u06271", "\u0627a\u0627", "a\u00a0b", "\U0001f511", "\u00aa")
SEEDS = tuple(text.encode() for text in _TEXTS)


def one_input(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    for query in (False, True):
        try:
            once = saslprep(text, query=query)
        except NotPreparable:
            continue
        assert saslprep(once, query=query) == once
