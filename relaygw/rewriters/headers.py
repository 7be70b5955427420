"""The rewriter "headers": fields are removed and added by name, before the message is signed. Options:

    remove  names of fields; "*" stands for anything, as in "X-Internal-*"
    add     fields to add at the end of the header section, as in { X-Gateway = "relaygw" }

What is removed is removed first: a field that is named in both is replaced. All other octets stay as they are.
"""

import re
from collections.abc import Mapping

import attrs
from zope.interface import implementer

from relaygw.core.envelope import Envelope
from relaygw.core.glob import compile_glob
from relaygw.core.headers import fields
from relaygw.core.verdict import field_flaw
from relaygw.interfaces import IRewriter, Options, Services
from relaygw.plugins import structure_options

_NAME = re.compile(r"[!-9;-~]{1,200}\Z")


@attrs.frozen(kw_only=True)
class HeaderOptions:
    remove: tuple[str, ...] = ()
    add: Mapping[str, str] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        if not (self.remove or self.add):
            raise ValueError("remove or add is wanted")
        for name in self.remove:
            if not _NAME.match(name):
                raise ValueError(f"{name!r:.100} is not the name of a header field")
            if not name.strip("*"):
                raise ValueError('"*" would remove all of the header section')
        for name, value in self.add.items():
            if not value.isascii() or field_flaw(_field(name, value)):
                raise ValueError(f"{name}: {value!r:.100} is no header field: printable ASCII on one line is wanted")


@implementer(IRewriter)
class HeaderRewriter:
    """See the module."""

    def __init__(self, options: Options, services: Services) -> None:
        given = structure_options(HeaderOptions, options)
        self._globs = tuple(map(compile_glob, given.remove))
        self._plain = {glob.parts[0].encode("ascii") for glob in self._globs if len(glob.parts) == 1}
        self._wide = tuple(glob for glob in self._globs if len(glob.parts) > 1)
        self._added = b"".join(_field(name, value) for name, value in given.add.items())

    def rewrite(self, envelope: Envelope, head: bytes) -> tuple[Envelope, bytes]:
        """The envelope stays; the header section too where nothing is removed or added."""
        kept = self._kept(head) if self._globs and self._may_hold(head) else head
        return envelope, kept + self._added if self._added else kept

    def _may_hold(self, head: bytes) -> bool:
        """Most messages have none of the fields, and to look for names is cheaper than to read all fields."""
        if self._wide:
            return True
        lowered = b"\n" + head.lower()
        return any(b"\n" + name in lowered for name in self._plain)

    def _kept(self, head: bytes) -> bytes:
        kept = [field.raw for field in fields(head) if not self._goes(field.name.lower())]
        found = b"".join(kept)
        return found if len(found) != len(head) else head

    def _goes(self, name: bytes) -> bool:
        if name in self._plain:
            return True
        return bool(name) and any(glob.match(name.decode("ascii", "replace")) for glob in self._wide)


def _field(name: str, value: str) -> bytes:
    return f"{name}: {value}\r\n".encode("utf-8", "replace")
