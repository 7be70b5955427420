"""`python -m relaygw.cli`, where the console script is not at hand."""

import sys

from relaygw.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
