"""Enumerations whose members are keys on the way of every message."""

import enum


class Word(enum.Enum):
    """One of few words. Enum hashes the name of a member, in Python, every time; there is one object for each."""

    __hash__ = object.__hash__
