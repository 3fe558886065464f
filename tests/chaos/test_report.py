"""The page of the long runs says what their results say."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.chaos import report, run
from tests.chaos.scenarios import scenarios
from tests.chaos.weather import COUNTS, PROMISES
from tests.support.programs import ROOT

if TYPE_CHECKING:
    from pathlib import Path

DOCS = ROOT / "docs"


def found(scenario: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - any figure
    kept = dict.fromkeys((*PROMISES, *COUNTS), 0)
    about = {"scenario": scenario, "seed": 7, "seconds": 1200.0, "drained": True, "recipients": 12_345}
    return {**about, **kept, "states": {"delivered": 12_000, "expired": 345}, "weather": {"html_200": 9}, **more}


def written(folder: Path, *results: dict[str, Any]) -> str:
    for one in results:
        run.keep(folder, one, 0.5)
    return report.page(report.load(folder))


def test_a_run_is_told_with_its_command_and_what_happened(tmp_path: Path) -> None:
    page = written(tmp_path, found("weather", kills=3))
    assert "| [weather](#weather) | 20 | 12,345 | none |" in page
    assert "`python -m tests.chaos.run --scenario weather --minutes 20 --seed 7 --json`" in page
    assert "delivered 12,000, expired 345" in page
    assert "kills 3, html_200 9" in page


def test_a_broken_promise_is_said_first_and_an_excused_one_with_its_excuse(tmp_path: Path) -> None:
    page = written(tmp_path, found("restarts", lost=2, drained=False), found("clock", limit_violations=4))
    assert "| 12,345 | `lost` 2, `drained` False |" in page
    assert "| 12,345 | `limit_violations` 4 (excused) |" in page


def test_what_was_not_run_is_named(tmp_path: Path) -> None:
    page = written(tmp_path, found("weather"))
    assert page.rstrip().endswith(", ".join(f"`{name}`" for name in scenarios() if name != "weather"))


def test_every_promise_and_count_is_explained() -> None:
    explained = (ROOT / "tests" / "chaos" / "README.md").read_text(encoding="utf-8")
    assert [name for name in (*PROMISES, *COUNTS, *scenarios()) if f"`{name}`" not in explained] == []


def test_the_page_in_the_documentation_is_made_of_the_results_beside_it() -> None:
    again = "make the page again: python -m tests.chaos.report docs/reliability docs/reliability.md"
    assert (DOCS / "reliability.md").read_text(encoding="utf-8") == report.page(report.load(DOCS / "reliability")), again
    assert {path.stem for path in (DOCS / "reliability").glob("*.json")} <= set(scenarios())
    assert all(json.loads(path.read_text(encoding="utf-8"))["found"] for path in (DOCS / "reliability").glob("*.json"))
