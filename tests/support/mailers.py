"""Other mail servers with configurations, queues and users of their own: Postfix, Exim and OpenSMTPD, as our clients
and as next hops that keep what they take in a Maildir. They want to be started by root."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
import pytest
from real import eventually

from relaygw.testing.ports import free_port

USER = 65533
"""Any that is not root; nobody has it on a machine where the packages are only unpacked."""


@attrs.frozen(kw_only=True)
class Kept:
    """A next hop: its domain, where it listens, the files of certificate and key, the Maildir it delivers to."""

    domain: str
    address: str
    port: int
    certificate: Path
    private_key: Path
    maildir: Path

    def messages(self) -> list[bytes]:
        """What came in, with CRLF line ends, as they travelled."""
        paths = (self.maildir / "new").glob("*") if (self.maildir / "new").is_dir() else ()
        return [path.read_bytes().replace(b"\n", b"\r\n") for path in sorted(paths)]

    def said(self) -> str:
        """The end of its log."""
        return "".join(path.read_text(errors="replace")[-3000:] for path in self.maildir.parent.glob("*log"))


def greets(port: int, address: str = "127.0.0.1") -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address, port), 5) as connection:
        return connection.recv(4) == b"220 "
    return False


@contextlib.contextmanager
def _folder(name: str) -> Iterator[Path]:
    """Where servers that drop their privileges can still get."""
    if os.getuid():
        pytest.skip(f"{name} wants to be started by root")
    with tempfile.TemporaryDirectory(prefix=f"relaygw-{name}-", ignore_cleanup_errors=True) as made:
        folder = Path(made)
        folder.chmod(0o755)
        (folder / "mail").mkdir()
        os.chown(folder / "mail", USER, USER)
        yield folder


@contextlib.contextmanager
def _running(command: list[str], folder: Path, address: str, port: int) -> Iterator[None]:
    """A server in the foreground, until it greets."""
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
    try:
        eventually(lambda: process.poll() is not None or greets(port, address))
        assert process.poll() is None, (folder / "said").read_text(errors="replace")
        yield
    finally:
        process.terminate()
        process.wait(60)


_POSTFIX = """\
compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/data
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = postfix.test
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtp_dns_support_level = disabled
smtpd_peername_lookup = no
alias_maps =
alias_database =
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
"""

_SERVICES = """\
{address}:{port} inet n - n - - smtpd
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
virtual unix - n n - - virtual
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


@contextlib.contextmanager
def _postfix(program: str, settings: str, folder: Path, address: str, port: int) -> Iterator[int]:
    for part in ("conf", "spool", "data"):
        (folder / part).mkdir()
    shutil.chown(folder / "data", "postfix")
    (folder / "conf/main.cf").write_text(_POSTFIX.format(folder=folder) + settings)
    (folder / "conf/master.cf").write_text(_SERVICES.format(address=address, port=port))
    subprocess.run([program, "-c", str(folder / "conf"), "start"], check=True, capture_output=True)
    try:
        eventually(lambda: greets(port, address))
        yield port
    finally:
        subprocess.run([program, "-c", str(folder / "conf"), "stop"], capture_output=True, check=False)


@contextlib.contextmanager
def sending_postfix(program: str, transport: str, more: str = "") -> Iterator[int]:
    """The port of a Postfix from which everything leaves by this transport; `more` are settings."""
    settings = f"""\
{more}
default_transport = {transport}
relayhost =
disable_dns_lookups = yes
smtp_tls_security_level = encrypt
smtp_tls_loglevel = 1
lmtp_destination_recipient_limit = 100
"""
    with _folder("postfix") as folder, _postfix(program, settings, folder, "127.0.0.1", free_port()) as port:
        yield port


@contextlib.contextmanager
def keeping_postfix(program: str, kept: Kept) -> Iterator[Kept]:
    """A Postfix that takes mail for the domain under TLS."""
    with _folder("postfix") as folder:
        settings = f"""\
virtual_mailbox_domains = {kept.domain}
virtual_mailbox_maps = static:mail/
virtual_mailbox_base = {folder}
virtual_uid_maps = static:{USER}
virtual_gid_maps = static:{USER}
smtpd_tls_cert_file = {kept.certificate}
smtpd_tls_key_file = {kept.private_key}
smtpd_tls_security_level = encrypt
"""
        with _postfix(program, settings, folder, kept.address, kept.port):
            yield attrs.evolve(kept, maildir=folder / "mail")


_EXIM = """\
exim_path = {program}
primary_hostname = exim.test
exim_user = {user}
exim_group = {user}
never_users =
trusted_users = {user}
deliver_drop_privilege
spool_directory = {folder}/spool
log_file_path = {folder}/%slog
keep_environment =
qualify_domain = exim.test
disable_ipv6
"""

_SENDING_EXIM = """\
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

_KEEPING_EXIM = """\
local_interfaces = {kept.address}
daemon_smtp_ports = {kept.port}
rfc1413_query_timeout = 0s
tls_advertise_hosts = *
tls_certificate = {kept.certificate}
tls_privatekey = {kept.private_key}
acl_smtp_rcpt = wanted
begin acl
wanted:
  accept domains = {kept.domain}
         encrypted = *
begin routers
all:
  driver = accept
  transport = box
begin transports
box:
  driver = appendfile
  directory = {folder}/mail
  maildir_format
  user = {user}
  group = {user}
begin retry
* * F,1m,1s
"""


def _exim(program: str, folder: Path, configuration: str) -> list[str]:
    (folder / "spool").mkdir()
    path = folder / "exim.conf"
    path.write_text(_EXIM.format(folder=folder, user=USER, program=program) + configuration)
    for each in (folder, folder / "spool"):
        os.chown(each, USER, USER)
    # Debian's was built to run as a user of its own.
    return [*_with_users(folder, {"Debian-exim": USER}), program, "-C", str(path)]


@contextlib.contextmanager
def sending_exim(program: str, port: int) -> Iterator[tuple[list[str], Path]]:
    """The command that hands its input to an Exim which sends everything to the port on loopback, and its folder."""
    with _folder("exim") as folder:
        yield [*_exim(program, folder, _SENDING_EXIM.format(port=port)), "-odf", "-oi"], folder


@contextlib.contextmanager
def keeping_exim(program: str, kept: Kept) -> Iterator[Kept]:
    """An Exim that takes mail for the domain under TLS."""
    with _folder("exim") as folder:
        os.chown(kept.private_key, USER, USER)  # Exim has dropped its privileges when it reads it
        command = _exim(program, folder, _KEEPING_EXIM.format(kept=kept, folder=folder, user=USER))
        with _running([*command, "-bdf", "-q3s"], folder, kept.address, kept.port):
            yield attrs.evolve(kept, maildir=folder / "mail")


_OPENSMTPD = """\
pki {kept.domain} cert "{kept.certificate}"
pki {kept.domain} key "{kept.private_key}"
table box {{ "@" = "keeper" }}
listen on {kept.address} port {kept.port} tls pki {kept.domain} hostname "mx.{kept.domain}"
action "box" maildir "{folder}/mail" virtual <box>
match from any for any action "box"
"""


@contextlib.contextmanager
def keeping_opensmtpd(smtpctl: str, kept: Kept) -> Iterator[Kept]:
    """An OpenSMTPD that takes all mail, with TLS where it can: that of Debian 12 (6.8) finds its key no more since
    OpenSSL 3, so that each handshake fails. Beside its `smtpctl`, a name that Postfix does not have too."""
    program = Path(smtpctl).with_name("smtpd")
    with _folder("opensmtpd") as folder:
        configuration = folder / "smtpd.conf"
        configuration.write_text(_OPENSMTPD.format(kept=kept, folder=folder))
        configuration.chmod(0o600)
        (folder / "mailname").write_text("opensmtpd.test\n")
        helpers = program.parents[1] / "libexec"
        places = {"/var/spool": "spool", "/var/lib": "lib", "/run": "run", "/usr/libexec": "libexec"}
        for place in places.values():
            (folder / place).mkdir(mode=0o711)
        (folder / "lib/opensmtpd/empty").mkdir(parents=True, mode=0o755)
        (folder / "spool/smtpd").mkdir(mode=0o711)
        shutil.copytree(helpers, folder / "libexec", dirs_exist_ok=True)
        users = {"opensmtpd": USER - 1, "opensmtpq": USER - 2, "keeper": USER}
        command = _with_users(folder, users, {place: folder / here for place, here in places.items()})
        with _running([*command, str(program), "-d", "-f", str(configuration)], folder, kept.address, kept.port):
            yield attrs.evolve(kept, maildir=folder / "mail")


def _with_users(folder: Path, users: Mapping[str, int], places: Mapping[str, Path] | None = None) -> list[str]:
    """What to put before a command whose package is only unpacked: users and groups, and folders in certain places,
    that are there in this process's own view alone."""
    missing = {name: number for name, number in users.items() if not _is_user(name)}
    mounts = [f"mount --bind {here} {place}" for place, here in (places or {}).items()]
    for name, rest in (("passwd", "{0}::/:/bin/false"), ("group", "")) if missing else ():
        lines = (f"{user}:x:{number}:{rest.format(number)}\n" for user, number in missing.items())
        (folder / name).write_text(Path(f"/etc/{name}").read_text() + "".join(lines))
        mounts.append(f"mount --bind {folder}/{name} /etc/{name}")
    return ["unshare", "--mount", "sh", "-c", " && ".join([*mounts, 'exec "$0" "$@"'])] if mounts else []


def _is_user(name: str) -> bool:
    with contextlib.suppress(KeyError):
        pwd.getpwnam(name)
        return True
    return False
