"""What every test may use. Real peers are asked for by name; see peers.py."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from peers import need

# A property is true of values, not of a moment: what an example takes on a machine that is busy with something else
# says nothing of it, and the first one waits until all of our modules have been read. What hangs is ended by the
# timeout of the whole test. The same values come in every run: whoever changes something learns of what that broke.
# `--hypothesis-profile search` looks for others.
settings.register_profile(
    "relaygw", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("search", settings.get_profile("relaygw"), derandomize=False)
settings.load_profile("relaygw")


@pytest.fixture
def peer() -> Callable[[str], str]:
    """`peer("swaks")` is the path of swaks; see `need`."""
    return need


@pytest.fixture
def vectors() -> Path:
    """The folder of test data made by others (RELAYGW_VECTORS); skips where it is not set, fails in CI."""
    folder = os.environ.get("RELAYGW_VECTORS")
    if not folder:
        message = "RELAYGW_VECTORS does not name the folder of test vectors"
        if os.environ.get("RELAYGW_REQUIRE_PEERS") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return Path(folder)


@pytest.fixture(autouse=True, scope="session")
def _elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests run in a folder of their own: trial's `mktemp` makes its files in the current one. Whoever starts them may
    have any umask: peers that give up root read what tests write; a proxy, which knows no loopback of ours; and a
    configuration.
    """
    before, umask = os.getcwd(), os.umask(0o022)
    os.chdir(tmp_path_factory.mktemp("work"))
    proxies = [name for name in os.environ if name.lower().endswith("_proxy")]
    theirs = {name: os.environ.pop(name, None) for name in (*proxies, "RELAYGW_CONFIG", "NOTIFY_SOCKET")}
    yield
    os.environ.update({name: value for name, value in theirs.items() if value is not None})
    os.chdir(before)
    os.umask(umask)
