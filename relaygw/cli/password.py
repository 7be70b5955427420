"""Passwords from a person or a pipe: never from an argument, an environment variable or a file of ours."""

import getpass
import sys

from relaygw.cli.answer import UsageError


def ask_password(name: str) -> str:
    """Twice from the terminal without showing it, or one line of standard input; raises UsageError."""
    if not sys.stdin.isatty():
        line = sys.stdin.readline()
        if not line.strip("\r\n"):
            raise UsageError(f"no password for {name} on standard input")
        return line.rstrip("\r\n")
    password = getpass.getpass(f"Password for {name}: ")
    if getpass.getpass("Once more: ") != password:
        raise UsageError("the two passwords differ")
    return password
