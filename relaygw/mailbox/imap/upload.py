"""The message of an APPEND on its way in: collected where the store wants it, its faults kept until it is complete."""

from relaygw.mailbox.imap.session import Completion, no, refusal
from relaygw.mailbox.incoming import Incoming
from relaygw.mailbox.values import StoreError


class Upload:
    """The line layer's sink. It never raises: a client that has begun a literal must be allowed to end it."""

    def __init__(self, content: Incoming) -> None:
        self.content = content
        self._failure: OSError | StoreError | None = None
        self._holds_nul = False

    def write(self, data: bytes) -> None:
        self._holds_nul = self._holds_nul or b"\x00" in data
        if self._failure is None:
            try:
                self.content.write(data)
            except (OSError, StoreError) as error:
                self._failure = error

    def problem(self) -> Completion | None:
        """Why this cannot be stored, if so."""
        if self._failure is not None:
            return refusal(self._failure)
        if self._holds_nul:
            return no("A message may not hold NUL (RFC 3501 9)", b"CANNOT")
        if not self.content.size:
            return no("The message is empty", b"CANNOT")
        return None

    def close(self) -> None:
        self.content.close()
