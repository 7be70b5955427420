"""Who may not even try: what the driver asks before a login and tells after it. `relaygw.bans` is the real one."""

from typing import Protocol


class Guard(Protocol):
    """`client` is an address as text, "" where there is none; `login` what was typed."""

    def refuses(self, client: str, login: str) -> bool:
        """Whether this login is closed to this client at the moment, whatever it knows."""
        ...

    def failed(self, client: str, login: str, attempt: bytes = b"") -> None:
        """A login failed. `attempt` is the same for the same wrong password, b"" where that cannot be told."""
        ...

    def succeeded(self, client: str, *logins: str) -> None:
        """A login went well; `logins` are the names it goes by."""
        ...


class Nobody:
    """The guard that lets everybody try."""

    def refuses(self, client: str, login: str) -> bool:
        return False

    def failed(self, client: str, login: str, attempt: bytes = b"") -> None:
        """Nothing is counted."""

    def succeeded(self, client: str, *logins: str) -> None:
        """Nothing is remembered."""
