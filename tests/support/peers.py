"""Real peers, asked for by name: a test skips with a reason where one is missing, or fails where CI demands them."""

import os
import shutil

import pytest

_SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/lib/postfix/sbin", "/usr/local/sbin"])


def need(command: str) -> str:
    """The path of a real peer's program; skips the test where it is missing, fails it under RELAYGW_REQUIRE_PEERS=1."""
    found = shutil.which(command, path=_SEARCH)
    if found is None:
        message = f"needs the program {command!r}, which is not installed"
        if os.environ.get("RELAYGW_REQUIRE_PEERS") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return found
