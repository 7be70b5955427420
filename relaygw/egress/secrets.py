"""Secrets of routes: in a file, in the environment, or as a credential of systemd. Read when needed, kept nowhere."""

import os
from typing import Literal

import attrs

MAX_SECRET = 16_384

CREDENTIALS = "CREDENTIALS_DIRECTORY"
"""Set by systemd for a unit with LoadCredential= or SetCredentialEncrypted=."""


class SecretError(Exception):
    """The secret cannot be read; the message names its place and what is wrong, never what it holds."""


@attrs.frozen
class Secret:
    """`place` is a path, the name of a variable, or the name of a credential."""

    kind: Literal["file", "env", "credential"]
    place: str

    def __str__(self) -> str:
        words = {"file": "the file", "env": "the variable", "credential": "the credential"}
        return f"{words[self.kind]} {self.place}"

    def read(self, longest: int = MAX_SECRET) -> str:
        """One line without its end, of at most so many characters; raises SecretError."""
        text = os.environ.get(self.place) if self.kind == "env" else self._from_file()
        if text is None:
            raise SecretError(f"{self} is not set")
        secret = text.removesuffix("\n").removesuffix("\r")
        if not secret or len(secret) > longest or "\0" in secret:
            raise SecretError(f"{self} holds no usable secret")
        return secret

    def _from_file(self) -> str | None:
        path = self.place
        if self.kind == "credential":
            folder = os.environ.get(CREDENTIALS)
            if not folder:
                return None
            path = os.path.join(folder, self.place)
        try:
            with open(path, "rb") as file:
                return file.read(MAX_SECRET + 3).decode("utf-8")
        except OSError as error:
            raise SecretError(f"{self} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise SecretError(f"{self} is not UTF-8") from None
