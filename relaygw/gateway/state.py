"""The state directory at start: it is there, and it is ours.

Looked at after privileges are dropped, for it is then that somebody else's directory is found out.
"""

import os
import pwd


def own_state(path: str) -> None:
    """Make the directory where it is missing; raises OSError with a sentence that says whose it must be."""
    trouble = ""
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
    except OSError as error:
        trouble = error.strerror or str(error)
    else:
        if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
            trouble = "Permission denied"
    if trouble:
        user = _user()
        raise OSError(f"the state directory {path}: {trouble}; {user} must own it and be able to reach it")


def _user() -> str:
    """Who this process is, by name where it has one."""
    try:
        return f"the user {pwd.getpwuid(os.geteuid()).pw_name}"
    except KeyError:
        return f"the user with the number {os.geteuid()}"
