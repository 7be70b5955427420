"""Other mail servers as our clients: Postfix with TLS, DSN and SMTPUTF8, by SMTP and by LMTP; Exim with BDAT."""

import contextlib
import os
import pwd
import re
import shutil
import smtplib
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from real import eventually, free_port
from recording_hop import RecordingHop

from relaygw.testing.gateway import Gateway

pytestmark = pytest.mark.interop
OFFERS = ("PIPELINING", "8BITMIME", "SMTPUTF8", "DSN")
LINES = "".join(f".{number} a line of some length\r\n" for number in range(3000)).encode()

_POSTFIX = """\
compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/data
daemon_directory = {daemons}
mail_owner = postfix
setgid_group = postdrop
myhostname = postfix.test
mydestination =
mynetworks = 127.0.0.0/8
default_transport = {transport}
relayhost =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtp_dns_support_level = disabled
disable_dns_lookups = yes
alias_maps =
alias_database =
smtp_tls_security_level = encrypt
smtp_tls_loglevel = 1
lmtp_destination_recipient_limit = 100
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
"""

_SERVICES = """\
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
lmtp unix - - n - - lmtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


@contextlib.contextmanager
def postfix(program: str, transport: str) -> Iterator[int]:
    """Postfix with a configuration, queue and port of its own; everything leaves by this transport."""
    if os.getuid():
        pytest.skip("Postfix wants to be started by root")
    with tempfile.TemporaryDirectory(prefix="relaygw-postfix-") as name:
        folder, port = Path(name), free_port()
        folder.chmod(0o755)
        for part in ("conf", "spool", "data"):
            (folder / part).mkdir()
        shutil.chown(folder / "data", "postfix")
        daemons = "/usr/lib/postfix/sbin"
        (folder / "conf/main.cf").write_text(_POSTFIX.format(folder=folder, daemons=daemons, transport=transport))
        (folder / "conf/master.cf").write_text(_SERVICES.format(port=port))
        subprocess.run([program, "-c", str(folder / "conf"), "start"], check=True, capture_output=True)
        try:
            eventually(lambda: greets(port))
            yield port
        finally:
            subprocess.run([program, "-c", str(folder / "conf"), "stop"], capture_output=True, check=False)


def greets(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as connection:
        return connection.recv(4) == b"220 "
    return False


@contextlib.contextmanager
def relay(folder: Path) -> Iterator[tuple[Gateway, RecordingHop, int]]:
    """A gateway that trusts loopback and hands everything to a hop; and the port of its LMTP listener."""
    with RecordingHop(OFFERS) as hop:
        gateway = Gateway.make(
            folder / "demo", domains=["example.test"], smarthost=f"127.0.0.1:{hop.port}", trust=["127.0.0.0/8"]
        )
        lmtp = free_port()
        gateway.append(
            f'[[listener]]\nname = "lmtp"\nendpoint = "tcp:{lmtp}:interface=127.0.0.1"\n'
            'protocol = "lmtp"\ntls = "none"\n'
        )
        with gateway:
            yield gateway, hop, lmtp


def hand_over(port: int) -> None:
    """An internationalized message with wishes for reports, to whatever listens there."""
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        client.ehlo("client.test")
        client.sendmail(
            "jörg@elsewhere.test",
            ["用户@bücher.test", "b@elsewhere.test"],
            "Subject: Grüße\r\n\r\n".encode() + LINES,
            mail_options=["SMTPUTF8", "BODY=8BITMIME", "RET=HDRS", "ENVID=from+2Bpostfix"],
            rcpt_options=["NOTIFY=SUCCESS,FAILURE"],
        )


def check(hop: RecordingHop, received: str) -> None:
    eventually(lambda: hop.contents)
    assert all(" SMTPUTF8 " in mail and " RET=HDRS ENVID=from+2Bpostfix" in mail for mail in hop.said("MAIL"))
    recipients = sorted(hop.said("RCPT"))
    assert all(" NOTIFY=FAILURE,SUCCESS ORCPT=" in recipient for recipient in recipients)
    assert recipients[0].startswith("RCPT TO:<b@elsewhere.test>")
    assert recipients[1].startswith("RCPT TO:<用户@xn--bcher-kva.test>")
    assert re.search(received.encode(), hop.contents[0])
    assert "Subject: Grüße\r\n".encode() in hop.contents[0]
    assert hop.contents[0].endswith(b"\r\n\r\n" + LINES)


def test_postfix_by_smtp_over_tls(tmp_path: Path, peer: Callable[[str], str]) -> None:
    with relay(tmp_path) as (gateway, hop, _):
        with postfix(peer("postfix"), f"smtp:[127.0.0.1]:{gateway.port(25)}") as port:
            hand_over(port)
            check(hop, r"by gateway\.example\.test \(relaygw\) with UTF8SMTPS id")


def test_postfix_by_lmtp(tmp_path: Path, peer: Callable[[str], str]) -> None:
    with relay(tmp_path) as (_, hop, lmtp):
        with postfix(peer("postfix"), f"lmtp:inet:127.0.0.1:{lmtp}") as port:
            hand_over(port)
            check(hop, r"by gateway\.example\.test \(relaygw\) with UTF8LMTP id")


EXIM_USER = 65533
"""Any that is not root."""

_EXIM = """\
exim_path = {program}
primary_hostname = exim.test
exim_user = {user}
exim_group = {user}
never_users =
trusted_users = {user}
spool_directory = {folder}/spool
log_file_path = {folder}/%slog
keep_environment =
qualify_domain = exim.test
disable_ipv6
begin routers
all:
  driver = manualroute
  route_list = * 127.0.0.1
  self = send
  transport = gateway
begin transports
gateway:
  driver = smtp
  port = {port}
  hosts_try_chunking = *
  hosts_require_tls = *
  dnssec_request_domains =
begin retry
* * F,1m,1s
"""


def _runnable(program: str, folder: Path, user: str) -> list[str]:
    """Debian's Exim was built to run as a user of its own; where the package is only unpacked, there is none but in
    this process's own view of the files of users and groups."""
    with contextlib.suppress(KeyError):
        pwd.getpwnam(user)
        return [program]
    mounts = []
    for name, rest in (("passwd", f"{EXIM_USER}::/:/bin/false"), ("group", "")):
        (folder / name).write_text(Path(f"/etc/{name}").read_text() + f"{user}:x:{EXIM_USER}:{rest}\n")
        mounts.append(f"mount --bind {folder}/{name} /etc/{name}")
    return ["unshare", "--mount", "sh", "-c", f'{" && ".join(mounts)} && exec "$0" "$@"', program]


def test_exim_by_bdat_over_tls(tmp_path: Path, peer: Callable[[str], str]) -> None:
    program = peer("exim4")
    if os.getuid():
        pytest.skip("Exim wants to be started by root")
    with relay(tmp_path) as (gateway, hop, _), tempfile.TemporaryDirectory(prefix="relaygw-exim-") as name:
        folder = Path(name)
        (folder / "spool").mkdir()
        configuration = folder / "exim.conf"
        configuration.write_text(_EXIM.format(folder=folder, port=gateway.port(25), user=EXIM_USER, program=program))
        for path in (folder, folder / "spool"):
            os.chown(path, EXIM_USER, EXIM_USER)
        command = [*_runnable(program, folder, "Debian-exim"), "-C", str(configuration), "-odf", "-oi"]
        message = b"Subject: by BDAT\n\n" + LINES.replace(b"\r\n", b"\n")
        done = subprocess.run(
            [*command, "-f", "a@client.test", "b@elsewhere.test"], input=message, capture_output=True, timeout=60
        )
        log = "".join(path.read_text() for path in folder.glob("*log"))
        assert done.returncode == 0, (done.stderr, log)
        eventually(lambda: hop.contents)
        assert hop.contents[0].endswith(b"\r\n\r\n" + LINES)
        assert " K " in log, log  # Exim's mark for CHUNKING
