"""A real OpenLDAP server on the loopback, with three people in it and TLS by an authority of the test's own."""

import contextlib
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
from certificates import Issued, issue
from real import eventually

from relaygw.testing.ports import free_port

CONFIG = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
TLSCertificateFile {folder}/server.pem
TLSCertificateKeyFile {folder}/server.key
TLSCACertificateFile {folder}/authority.pem
database mdb
suffix "dc=example,dc=com"
rootdn "cn=admin,dc=example,dc=com"
rootpw hunter2
directory {folder}/db
access to attrs=userPassword by anonymous auth by * none
access to * by dn.base="cn=reader,dc=example,dc=com" read by anonymous auth by * none
"""

PEOPLE = """
dn: dc=example,dc=com
objectClass: dcObject
objectClass: organization
dc: example
o: example

dn: cn=reader,dc=example,dc=com
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: reader
userPassword: reading

dn: uid=Alice,dc=example,dc=com
objectClass: inetOrgPerson
uid: Alice
cn: Alice
sn: Smith
mail: alice@example.com
mail: a.smith@example.com
mail: alice@elsewhere.test
userPassword: wonderland

dn: uid=bob,dc=example,dc=com
objectClass: inetOrgPerson
uid: bob
cn: Bob
sn: Builder
mail: shared@example.com
userPassword:: cMOkc3N3b3JkKik=

dn: uid=carol,dc=example,dc=com
objectClass: inetOrgPerson
uid: carol
cn: Carol
sn: Builder
mail: shared@example.com
"""


@attrs.define
class Slapd:
    """A server; `ldap` and `ldaps` are its URIs."""

    process: Any
    ldap: str
    ldaps: str

    def options(self, folder: Path) -> dict[str, Any]:
        """What a directory or a table has to be told to ask it, as the reader."""
        (folder / "reader").write_text("reading\n")
        return {
            "servers": [self.ldap],
            "base": "dc=example,dc=com",
            "authorities": str(folder / "authority.pem"),
            "bind_dn": "cn=reader,dc=example,dc=com",
            "bind_password_file": str(folder / "reader"),
            "timeout": 30.0,
        }

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def serving(program: str, authority: Issued) -> Iterator[tuple[Slapd, Path]]:
    """A server in a folder of its own with a short name, and that folder."""
    with tempfile.TemporaryDirectory() as name:
        slapd = start(program, Path(name), authority)
        try:
            yield slapd, Path(name)
        finally:
            slapd.kill()


def start(program: str, folder: Path, authority: Issued, name: str = "localhost") -> Slapd:
    issue(name, name, issuer=authority).write(folder, "server")
    authority.write(folder, "authority")
    (folder / "db").mkdir(exist_ok=True)
    (folder / "slapd.conf").write_text(CONFIG.format(folder=folder))
    ports = free_port(), free_port()
    uris = f"ldap://127.0.0.1:{ports[0]}/ ldaps://127.0.0.1:{ports[1]}/"
    add = [program, "-T", "add", "-f", str(folder / "slapd.conf")]
    subprocess.run(add, input=PEOPLE.encode(), check=True, capture_output=True)
    return Slapd(spawn(program, folder, uris), f"ldap://localhost:{ports[0]}", f"ldaps://localhost:{ports[1]}")


def spawn(program: str, folder: Path, uris: str) -> Any:
    process = subprocess.Popen(
        [program, "-f", str(folder / "slapd.conf"), "-h", uris, "-d", "0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    port = int(uris.split()[-1].rstrip("/").rpartition(":")[2])
    eventually(lambda: _listens(port))
    return process


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
