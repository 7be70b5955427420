"""Coverage-guided fuzzing of one parser: `python tests/fuzz/run.py proxy -max_total_time=600`.

A target is a module fuzz_NAME beside this file with SEEDS and `one_input`, which raises where its promise is broken.
Further options are libFuzzer's. Found inputs are kept in a corpus folder given as one of them.
"""

import importlib
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parent


def names() -> list[str]:
    return sorted(path.stem.removeprefix("fuzz_") for path in FOLDER.glob("fuzz_*.py"))


def main() -> None:
    import atheris

    if len(sys.argv) < 2 or sys.argv[1] not in names():
        sys.exit(f"usage: run.py {'|'.join(names())} [options]")
    sys.path.insert(0, str(FOLDER))
    with atheris.instrument_imports():
        target = importlib.import_module(f"fuzz_{sys.argv[1]}")
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(target.SEEDS):
            (Path(corpus) / str(number)).write_bytes(seed)
        atheris.Setup([sys.argv[0], *sys.argv[2:], corpus], target.one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
