"""How a benchmark shows relaygw beside a peer: a table for people, or JSON."""

import argparse
import json
from typing import Any


def tell(rows: list[dict[str, Any]], peer: str, options: argparse.Namespace) -> None:
    """Each row has a `figure`, its `unit`, what `relaygw` and the `peer` came to, and their `ratio`."""
    if options.json:
        print(json.dumps({"rounds": options.rounds, "peer": peer, "rows": rows}, indent=2))
        return
    print(f"{'':38}{'relaygw':>12}{peer:>36}{'ratio':>9}")
    for row in rows:
        ours = f"{row['relaygw']:9.2f} {row['unit']:3}"
        print(f"{row['figure']:38}{ours}{row['peer']:32.2f} {row['unit']:3}{row['ratio']:9.2f}")
