"""`python -m relaygw.cli`, where the console script is not at hand."""

import sys

from relaygw.cli.main import main

sys.exit(main())
