"""A name that was proven before the portal was asked: what SCRAM and EXTERNAL end in, as credentials of twisted.cred.

Only the driver makes one, and only after the proof: its checker has nothing left to check.
"""

from typing import Any

import attrs
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import ICredentials
from zope.interface import Attribute, implementer

from relaygw.bridge import deferred


class IProvenName(ICredentials):
    """Somebody who has shown to be who they say."""

    username = Attribute("The name, as the directory is asked for it.")


@implementer(IProvenName)
@attrs.frozen
class ProvenName:
    username: str


@implementer(ICredentialsChecker)
class ProvenNameChecker:
    """Passes the name on to the realm, which refuses one that is no account's."""

    credentialInterfaces = (IProvenName,)

    @deferred
    async def requestAvatarId(self, credentials: Any) -> bytes | tuple[()]:
        """The name in UTF-8."""
        name: str = credentials.username
        return name.encode("utf-8")
