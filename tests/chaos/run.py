"""`python -m tests.chaos.run --scenario weather --minutes 2 --json`: bad weather, and what came of it.

Exit status 1 where a promise is broken; where the machine lacks what a scenario needs, a notice says so and the status is 0.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import secrets
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.chaos import weather
from tests.chaos.scenarios import BEFORE, commit, scenarios
from tests.chaos.stores import MissingError

if TYPE_CHECKING:
    from collections.abc import Mapping


def main() -> int:
    """Run, and tell."""
    lasts = ", ".join(f"{name} {one.minutes:g}" for name, one in scenarios().items())
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.run", description=__doc__.splitlines()[0])
    parser.add_argument("--scenario", choices=scenarios(), default="weather", help="what happens (%(default)s)")
    parser.add_argument("--minutes", type=float, help=f"how long it lasts ({lasts})")
    parser.add_argument("--seed", type=int, default=None, help="of the dice; by default another one each time")
    parser.add_argument("--before", default=BEFORE, help="the commit or tag whose workers an upgrade begins with (%(default)s)")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--into", type=Path, help="a folder in which the result is written down as well")
    options = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    scenario = scenarios(options.before)[options.scenario]
    seconds = 60 * (scenario.minutes if options.minutes is None else options.minutes)
    load = round(os.getloadavg()[0], 2)
    try:
        found = weather.run(scenario, seconds, seed)
    except MissingError as error:
        sys.stderr.write(f"notice: {scenario.name} is left out: {error}\n")
        return 0
    if not options.json:
        for name, value in found.items():
            sys.stdout.write(f"{name}: {value}\n")
    broken = weather.broken(found)
    if broken:
        sys.stderr.write(f"broken promises with seed {seed}: {broken}\n")
    if options.into:
        of = f" --before {commit(options.before)}" if scenario.name == "upgrade" else ""
        keep(options.into, found, load, of)
    if options.json:
        sys.stdout.write(json.dumps(found) + "\n")
    return 1 if set(broken) - scenario.excused else 0


def keep(folder: Path, found: Mapping[str, Any], load: float, more: str = "") -> None:
    """Write a result down, with the command that shows it again; `more` are its further options."""
    folder.mkdir(parents=True, exist_ok=True)
    minutes = f"{found['seconds'] / 60:g}"
    options = f"--scenario {found['scenario']} --minutes {minutes} --seed {found['seed']}{more} --json"
    result = {
        "command": f"python -m tests.chaos.run {options}",
        "at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "load_before": load},
        "found": found,
    }
    (folder / f"{found['scenario']}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
