"""The bench: real processes on loopback. Every server under test offers the same four things: start, an address to
send to, the processes that belong to it (costs.py reads what they cost), stop. Needs root: Postfix wants it.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import attrs
import costs

from relaygw.testing.ports import free_offset, free_port

SENDER = "sender@example.test"
RECIPIENT = "rcpt@dest.test"
_SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/lib/postfix/sbin"])


def program(name: str) -> str:
    """The path of a peer's program; ends the benchmark with a clear word where it is missing."""
    found = shutil.which(name, path=_SEARCH)
    if found is None:
        packages = "postfix, opendkim, postfix-policyd-spf-python, nsd, unbound and strace"
        sys.exit(f"the benchmark needs {name!r}: install Debian's {packages}")
    return found


def wait_for_port(port: int, seconds: float = 30.0) -> None:
    """Return when something greets on the port with an SMTP banner."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 2) as probe:
            probe.settimeout(5)
            if probe.recv(3) == b"220":
                return
        time.sleep(0.05)
    sys.exit(f"nothing greets on port {port} after {seconds:.0f} s")


class Sink:
    """smtp-sink as the next hop; counts what it takes. `port` where it must be a certain one."""

    def __init__(self, port: int = 0) -> None:
        self.port = port or free_port()
        self.messages = 0
        self._process = subprocess.Popen(
            [program("smtp-sink"), "-4", "-u", "nobody", "-c", "-m", "1000", f"127.0.0.1:{self.port}", "1024"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        threading.Thread(target=self._count, daemon=True).start()
        wait_for_port(self.port)

    def _count(self) -> None:
        assert self._process.stdout is not None
        tail = b""
        while piece := os.read(self._process.stdout.fileno(), 65536):
            tail = (tail + piece)[-200:]
            # The last counter in sight may be cut; the one before it is whole.
            whole = re.findall(rb"mesg=(\d+)(?=\D)", tail + b"\r" if tail[-1:].isdigit() else tail)
            if whole:
                self.messages = int(whole[-1])

    def wait(self, messages: int, seconds: float) -> bool:
        """Whether the sink has taken this many within the time."""
        end = time.monotonic() + seconds
        while self.messages < messages and time.monotonic() < end:
            time.sleep(0.005)
        return self.messages >= messages

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()


@attrs.define
class Server:
    """A running server under test: `roots` are the processes whose trees belong to it."""

    name: str
    port: int
    roots: list[int]
    stop: object
    folder: Path
    seconds: float = 0.0
    """From the start to the first greeting, where that was looked at."""
    began: float = 0.0


_POSTFIX_MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = bench.example.test
mydestination =
mynetworks = {networks}
relayhost = [127.0.0.1]:{sink}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtp_dns_support_level = disabled
disable_dns_lookups = yes
alias_maps =
alias_database =
maillog_file = /var/log/relaygw-bench-postfix-{number}.log
maillog_file_prefixes = /var/log
smtpd_client_connection_count_limit = 0
default_process_limit = 200
{settings}
"""

_POSTFIX_MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""

_OPENDKIM = """\
Socket local:{folder}/milter/socket
UMask 000
UserID opendkim
Mode s
Domain example.test
Selector s1
KeyFile {folder}/dkim.pem
Canonicalization relaxed/relaxed
InternalHosts 127.0.0.1
Syslog yes
Background no
OversignHeaders From
RequireSafeKeys no
"""


_VERIFYING_OPENDKIM = """\
Socket local:{folder}/milter/socket
UMask 000
UserID opendkim
Mode v
InternalHosts 192.0.2.1
TestPublicKeys {folder}/keys
AuthservID bench.example.test
Syslog yes
Background no
"""

_POLICYD = """\
debugLevel = 0
TestOnly = 1
HELO_reject = Fail
Mail_From_reject = Fail
PermError_reject = False
TempError_Defer = False
skip_addresses = 192.0.2.1/32
Header_Type = SPF
"""

# What policyd-spf asks the DNS with can be told of another server only from inside.
_POLICYD_START = """\
#!/usr/bin/python3
import sys
import DNS
import spf
DNS.defaults["server"], DNS.defaults["port"] = ["127.0.0.1"], {nameserver}
from spf_engine.policyd_spf import main
sys.argv = ["policyd-spf", "{folder}/policyd-spf.conf"]
sys.exit(main())
"""


def _start_signing(folder: Path) -> subprocess.Popen[bytes]:
    key = folder / "dkim.pem"
    subprocess.run([program("openssl"), "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    shutil.chown(key, "opendkim")
    key.chmod(0o600)
    return _start_opendkim(folder, _OPENDKIM.format(folder=folder))


def _start_opendkim(folder: Path, text: str) -> subprocess.Popen[bytes]:
    milter = folder / "milter"
    milter.mkdir()
    shutil.chown(milter, "opendkim")
    configuration = folder / "opendkim.conf"
    configuration.write_text(text)
    process = subprocess.Popen([program("opendkim"), "-f", "-x", str(configuration)], stderr=subprocess.DEVNULL)
    end = time.monotonic() + 10
    while not (milter / "socket").exists():
        if time.monotonic() > end or process.poll() is not None:
            sys.exit("opendkim did not start")
        time.sleep(0.02)
    return process


@contextlib.contextmanager
def postfix(
    sink_port: int, *, opendkim: bool = True, hold: bool = False, nameserver: int = 0, settings: str = ""
) -> Iterator[Server]:
    """Postfix on a folder and port of its own, relaying everything to the sink; signing through OpenDKIM's milter.

    `hold`: what is accepted is queued and not sent on. `nameserver`: a port of 127.0.0.1, for policyd-spf to look at
    every client. `settings`: more lines of main.cf."""
    with _postfix_folder() as folder:
        milter = _start_signing(folder) if opendkim else None
        settings += _through_milter(folder) if opendkim else ""
        services = _policyd(folder, nameserver) if nameserver else ""
        if nameserver:
            settings += f"{_ASK_POLICYD}, permit_mynetworks, reject\n"
        if hold:
            settings += "defer_transports = smtp\n"
        name = " + ".join(["Postfix", *(["OpenDKIM"] if opendkim else []), *(["policyd-spf"] if nameserver else [])])
        with (
            _ending(milter),
            _postfix(folder, name, sink_port, settings, services=services, milter=milter) as server,
        ):
            yield server


_ASK_POLICYD = (
    "policyd-spf_time_limit = 3600\nsmtpd_recipient_restrictions = check_policy_service unix:private/policyd-spf"
)


def _policyd(folder: Path, nameserver: int) -> str:
    """Make policyd-spf ready to ask this port of 127.0.0.1; the line of master.cf that starts it."""
    program("policyd-spf")
    (folder / "policyd-spf.conf").write_text(_POLICYD)
    starter = folder / "policyd-spf"
    starter.write_text(_POLICYD_START.format(folder=folder, nameserver=nameserver))
    starter.chmod(0o755)
    return f"policyd-spf unix - n n - 0 spawn user=nobody argv={starter}\n"


DISCARDING = "relay_transport = discard:bench\ndefault_transport = discard:bench\n"
"""For Postfix: what is accepted is delivered to nowhere."""


@contextlib.contextmanager
def receiving_postfix(sink_port: int, *, settings: str = "") -> Iterator[Server]:
    """Postfix as an MX for dest.test, that checks nothing."""
    settings = f"relay_domains = dest.test\n{settings}"
    with (
        _postfix_folder() as folder,
        _postfix(folder, "Postfix", sink_port, settings, networks="192.0.2.1/32") as server,
    ):
        yield server


@contextlib.contextmanager
def verifying_postfix(sink_port: int, nameserver: int, key: str, *, settings: str = "") -> Iterator[Server]:
    """The same with OpenDKIM verifying and policyd-spf, which asks this port of 127.0.0.1.

    OpenDKIM is spared the question and reads `key` ("name record") in a file: its own resolver asks nobody on loopback,
    and where libunbound's file of settings makes it, Debian's 2.11 dies when twenty sessions ask at once."""
    with _postfix_folder() as folder:
        (folder / "keys").write_text(f"{key}\n")
        milter = _start_opendkim(folder, _VERIFYING_OPENDKIM.format(folder=folder))
        settings = (
            f"{_through_milter(folder)}relay_domains = dest.test\n{_ASK_POLICYD}, reject_unauth_destination\n{settings}"
        )
        services = _policyd(folder, nameserver)
        name = "Postfix + OpenDKIM + policyd-spf"
        with (
            _ending(milter),
            _postfix(
                folder, name, sink_port, settings, services=services, networks="192.0.2.1/32", milter=milter
            ) as server,
        ):
            yield server


@contextlib.contextmanager
def _postfix_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bench-postfix-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def _through_milter(folder: Path) -> str:
    return f"smtpd_milters = unix:{folder}/milter/socket\nmilter_default_action = tempfail\n"


@contextlib.contextmanager
def _ending(process: subprocess.Popen[bytes] | None) -> Iterator[None]:
    try:
        yield
    finally:
        if process is not None and process.poll() is None:
            process.terminate()
            process.wait()


@contextlib.contextmanager
def _postfix(
    folder: Path,
    name: str,
    sink_port: int,
    settings: str,
    *,
    services: str = "",
    networks: str = "127.0.0.0/8",
    milter: subprocess.Popen[bytes] | None = None,
) -> Iterator[Server]:
    """Postfix with these lines in main.cf and master.cf over those that all variants share."""
    port, conf = free_port(), folder / "conf"
    for each in ("conf", "spool", "data"):
        (folder / each).mkdir()
    shutil.chown(folder / "data", "postfix")
    (conf / "main.cf").write_text(
        _POSTFIX_MAIN.format(folder=folder, sink=sink_port, settings=settings, networks=networks, number=port)
    )
    (conf / "master.cf").write_text(_POSTFIX_MASTER.format(port=port) + services)
    subprocess.run([program("postfix"), "-c", str(conf), "start"], check=True, capture_output=True)
    try:
        wait_for_port(port)
        master = int((folder / "spool/pid/master.pid").read_text())
        yield Server(name, port, [master] + ([milter.pid] if milter is not None else []), None, folder)
    finally:
        subprocess.run([program("postfix"), "-c", str(conf), "stop"], capture_output=True)
        Path(f"/var/log/relaygw-bench-postfix-{port}.log").unlink(missing_ok=True)


@contextlib.contextmanager
def relaygw(
    sink_port: int,
    *,
    change: Callable[[str], str] = lambda text: text,
    before: Callable[[Path], None] = lambda folder: None,
    traced: bool = False,
) -> Iterator[Server]:
    """relaygw as `relaygw init` sets it up, with the sink as its smart-host and its own journal on.

    `change` is applied to the text of its configuration; `before` is called with its folder before it starts; `traced`:
    its syncs are counted (`syncs_so_far`) at hardly any cost."""
    with tempfile.TemporaryDirectory(prefix="bench-relaygw-") as name:
        folder = Path(name) / "demo"
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(Path(__file__).parent)}
        binaries = Path(sys.executable).parent
        offset = free_offset()
        subprocess.run(
            [str(binaries / "relaygw"), "init", str(folder), "--domain", "example.test", "--hostname",
             "bench.example.test", "--smarthost", f"127.0.0.1:{sink_port}", "--trust", "127.0.0.0/8",
             "--port-offset", str(offset)],
            check=True, capture_output=True, env=environment,
        )  # fmt: skip
        configuration = folder / "relaygw.toml"
        configuration.write_text(change(configuration.read_text()))
        before(folder)
        tracer = _TRACER if traced else ()
        began = time.monotonic()
        with open(folder / "out.log", "wb") as log:
            process = subprocess.Popen(
                [*tracer, str(binaries / "twistd"), "-n", "--pidfile=", "relaygw", "--config", str(configuration)],
                stdout=log, stderr=log, env=environment, cwd=name,
            )  # fmt: skip
        try:
            wait_for_port(25 + offset)
            yield Server("relaygw", 25 + offset, [process.pid], None, folder, time.monotonic() - began, began)
        finally:
            os.kill(costs.descendants(process.pid)[-1 if traced else 0], signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def holding_postfix(_: int) -> AbstractContextManager[Server]:
    """Postfix that takes mail durably and keeps it."""
    return postfix(1, opendkim=False, hold=True)


def holding_relaygw(_: int) -> AbstractContextManager[Server]:
    """relaygw that takes mail durably and keeps it; one client may have as many connections as the benchmark wants."""
    return relaygw(1, change=_hold_all)


def many_sessions(text: str) -> str:
    """One client may have as many connections as the benchmark wants."""
    return text.replace('name = "mx"\n', 'name = "mx"\nmax_connections_per_client = 1000\n', 1)


def _hold_all(text: str) -> str:
    return f'{many_sessions(text)}\n[[filter]]\nuse = "holding:HoldAll"\n'


def source(
    port: int,
    *,
    messages: int,
    sessions: int,
    size: int = 0,
    file: Path | None = None,
    sender: str = SENDER,
    recipient: str = RECIPIENT,
) -> float:
    """smtp-source at full speed, one connection per message; the seconds it took. A `file` is sent as it is."""
    content = ["-F", str(file)] if file is not None else ["-l", str(size)]
    started = time.monotonic()
    subprocess.run(
        [program("smtp-source"), "-4", "-s", str(sessions), "-m", str(messages), *content, "-f", sender,
         "-t", recipient, "-M", "client.example.test", f"127.0.0.1:{port}"],
        check=True, timeout=600,
    )  # fmt: skip
    return time.monotonic() - started


_TRACER = ("strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=fsync,fdatasync", "-o", "syncs.trace")


def syncs_so_far(server: Server) -> int:
    """The fsync and fdatasync calls of a server that was started `traced`."""
    return len(re.findall(r"(?:fsync|fdatasync)\(", (server.folder.parent / "syncs.trace").read_text()))


def syncs(server: Server, run: object) -> int:
    """How many fsync and fdatasync calls the server's processes make while `run()` runs, counted by strace."""
    assert callable(run)
    pids = [pid for root in server.roots for pid in costs.descendants(root)]
    with tempfile.NamedTemporaryFile("r") as trace:
        tracer = subprocess.Popen(
            [program("strace"), "-f", "-qq", "-e", "trace=fsync,fdatasync", "-o", trace.name]
            + [part for pid in pids for part in ("-p", str(pid))],
            stderr=subprocess.DEVNULL,
        )
        time.sleep(1.0)
        try:
            run()
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.wait()
        return len(re.findall(r"(?:fsync|fdatasync)\(", trace.read()))
