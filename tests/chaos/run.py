"""`python -m tests.chaos.run --minutes 2 --json`: bad weather, and what came of it. Exit status 1 where a promise is broken."""

from __future__ import annotations

import argparse
import json
import secrets
import sys

from tests.chaos import weather


def main() -> int:
    """Run, and tell."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.run", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2, help="how long the bad weather lasts (%(default)s)")
    parser.add_argument("--seed", type=int, default=None, help="of the dice; by default another one each time")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    found = weather.run(options.minutes * 60, seed)
    if not options.json:
        for name, value in found.items():
            sys.stdout.write(f"{name}: {value}\n")
    broken = weather.broken(found)
    if broken:
        sys.stderr.write(f"broken promises with seed {seed}: {broken}\n")
    if options.json:
        sys.stdout.write(json.dumps(found) + "\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
