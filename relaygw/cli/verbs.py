"""A verb's place on the command line, made in one way for all: its sentence, what its help ends with, no abbreviations.

An option that is cut short in a script would mean another one as soon as a second begins with the same letters.
"""

import argparse
from typing import TypeAlias, TypeVar

Parser = TypeVar("Parser", bound=argparse.ArgumentParser)
Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

EVERYWHERE = "--config FILE and --json may be given here as well; exit codes: relaygw --help"


def add_verb(verbs: "argparse._SubParsersAction[Parser]", name: str, sentence: str, description: str = "") -> Parser:
    """The parser of one verb; `sentence` begins small and ends without a full stop, as lists of verbs show it."""
    told = description or f"{sentence[0].upper()}{sentence[1:]}."
    return verbs.add_parser(name, help=sentence, description=told, epilog=EVERYWHERE, allow_abbrev=False)
