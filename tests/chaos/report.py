"""`python -m tests.chaos.report FOLDER PAGE`: the page of the long runs, out of the results in a folder."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.chaos.scenarios import scenarios
from tests.chaos.weather import COUNTS, PROMISES
from tests.support.markdown import table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.chaos.scenarios import Scenario

HEAD = """# What it withstands

Made by `make chaos` of the results in [reliability/](reliability); not written by hand. While messages flow through both
stand-ins, harm is done; then all that was accepted must come to its end, and three witnesses are compared. What each figure means,
and how to read them: [tests/chaos/README.md](../tests/chaos/README.md). Which server may lose what it has acknowledged:
[Redis](redis.md). A broken promise is *excused* where the harm lets nobody keep it; it is counted all the same.

The commands run after `make setup`, with `.venv/bin` on the PATH."""


def load(folder: Path) -> dict[str, dict[str, Any]]:
    """The results that there are, by scenario."""
    paths = {name: folder / f"{name}.json" for name in scenarios()}
    return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in paths.items() if path.exists()}


def page(results: Mapping[str, Mapping[str, Any]]) -> str:
    """The whole page."""
    parts = [HEAD, _summary(results)]
    parts += [_section(scenarios()[name], result) for name, result in results.items()]
    if missing := [name for name in scenarios() if name not in results]:
        parts += ["## Not run yet", ", ".join(f"`{name}`" for name in missing)]
    return "\n\n".join(parts) + "\n"


def _summary(results: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        [
            f"[{name}](#{name})",
            f"{one['found']['seconds'] / 60:g}",
            f"{one['found']['recipients']:,}",
            _verdict(scenarios()[name], one["found"]),
        ]
        for name, one in results.items()
    ]
    return table(["scenario", "minutes", "recipients", "broken promises"], rows)


def _verdict(scenario: Scenario, found: Mapping[str, Any]) -> str:
    broken = [name for name in PROMISES if found[name]] + ([] if found["drained"] else ["drained"])
    told = [f"`{name}` {found.get(name)}" + (" (excused)" if name in scenario.excused else "") for name in broken]
    return ", ".join(told) or "none"


def _section(scenario: Scenario, result: Mapping[str, Any]) -> str:
    found, machine = result["found"], result["machine"]
    on = f"{machine['cores']} cores, Python {machine['python']}, load before {machine['load_before']:g}"
    run = f"`{result['command']}`, {result['at']}, {on}."
    happened = {**{name: found[name] for name in COUNTS if found[name]}, **found["weather"]}
    rows = [
        ["promises", ", ".join(f"`{name}` {found[name]}" for name in PROMISES)],
        ["what became of recipients", ", ".join(f"{state} {count:,}" for state, count in sorted(found["states"].items()))],
        ["what happened", ", ".join(f"{name} {count:,}" for name, count in happened.items())],
    ]
    about = scenario.about[0].upper() + scenario.about[1:] + "."
    return "\n\n".join([f"## {scenario.name}", about, run, table(["", ""], rows)])


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.report", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the results are")
    parser.add_argument("page", type=Path, help="the page that is written")
    options = parser.parse_args()
    options.page.write_text(page(load(options.folder)), encoding="utf-8")


if __name__ == "__main__":
    main()
