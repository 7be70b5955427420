"""Endpoints that are known without asking Twisted are those that Twisted takes, and it is not loaded for them."""

import subprocess
import sys

import pytest
from twisted.internet.endpoints import serverFromString

from relaygw.config.rules.listeners import _USUAL, endpoint_fault


@pytest.mark.parametrize(
    "endpoint",
    ["tcp:25", "tcp6:25", "tcp:port=587", "tcp:25:interface=127.0.0.1", "tcp6:port=25:interface=mail.example.org"],
)
def test_usual_ones_are_taken_as_twisted_takes_them(endpoint: str) -> None:
    assert _USUAL.match(endpoint)
    assert endpoint_fault(endpoint) == ""
    serverFromString(object(), endpoint)


@pytest.mark.parametrize(
    "endpoint", ["tcp:", "tcp:x", "tcp:25:interfaces=::1", "tcp:25:interface=a:b", "tcp:25:backlog=x"]
)
def test_whatever_else_is_said_twisted_is_asked(endpoint: str) -> None:
    assert not _USUAL.match(endpoint)
    assert endpoint_fault(endpoint)


def test_a_usual_one_loads_no_endpoints() -> None:
    program = (
        "import sys; from relaygw.config.rules.listeners import endpoint_fault; "
        "assert endpoint_fault('tcp:25') == ''; sys.exit('twisted.internet.endpoints' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
