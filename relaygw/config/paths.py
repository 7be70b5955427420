"""Where things are that follow from the state directory and have no option of their own."""

import os

from relaygw.config.schema import Config


def history_directory(config: Config) -> str:
    """The searchable history of the journal."""
    return os.path.join(config.state, "history")


def spool_directory(config: Config) -> str:
    """The store of accepted messages."""
    return config.spool.path or os.path.join(config.state, "spool")


def mail_directory(config: Config) -> str:
    """All mailboxes."""
    return config.mailbox.path or os.path.join(config.state, "mail")


def control_socket(config: Config) -> str:
    """The socket of the `relaygw` command."""
    return config.control.socket or os.path.join(config.state, "control.sock")
