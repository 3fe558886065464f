"""The page of the benchmarks says what the results say; and a run of them goes on where one fails."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

import pytest
from tests.bench import report, run
from tests.bench.support.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DOCS = ROOT / "docs"
MACHINE = {"cores": 2, "processor": "any", "python": "3.11", "system": "Linux", "load_before": 0.1, "versions": {"valkey": "9"}}


def record(folder: Path, bench: str, number: int, **figures: Any) -> None:  # noqa: ANN401 - any figure
    run.keep(folder, bench, number, [], {"bench": bench, "machine": MACHINE, **figures})


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """Three runs of one measurement with a better and a worse peer, and one of each that has a plot."""
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    for number, rate in enumerate((900, 1000, 1200), start=1):
        quick = {"per_s": 2000, "bytes_per_waiting_single": 300}
        slow = {"per_s": 500, "bytes_per_waiting_single": 2500}
        peers = {"quick": quick, "slow": slow, "absent": None}
        record(folder, "enqueue", number, enqueue_per_s=rate, bytes_per_waiting_single=1000, peers=peers)
    course = [[1.0, 0.5], [2.0, 1.0]]
    peer = {"utilisation": 0.5, "use_over_time": course}
    case = {"use_over_time": course}
    record(folder, "limits", 1, utilisation=0.99, violations=0, cases={"steady": case}, peers={"quick": peer, "absent": None})
    record(folder, "priority", 1, waits=[[0.0, 12.5], [0.2, 80.0]], permit_interval_ms=166.67, peers={})
    record(folder, "drain", 1, calls_per_s=700, calls_per_s_by_workers={"calls": {"1": 80, "2": 160}, "dramatiq": None}, peers={})
    return folder


def written(folder: Path) -> str:
    page = folder.parent / "benchmarks.md"
    report.write(folder, page)
    return page.read_text(encoding="utf-8")


def test_a_figure_is_the_median_with_the_least_and_the_most_and_its_command(recorded: Path) -> None:
    page = written(recorded)
    assert "| accepted one by one, in a second | `enqueue_per_s` | 1,000 | 900 to 1,200 |" in page
    assert "`python -m tests.bench.enqueue --json`: 3 runs" in page
    assert "2 cores (any), Linux, Python 3.11; valkey 9" in page


def test_peers_stand_beside_with_their_ratio_and_an_absent_one_with_none(recorded: Path) -> None:
    assert "| accepted one by one, in a second | 1,000 | 2,000 (2) | 500 (0.5) | - |" in written(recorded)


def test_the_page_says_where_a_peer_is_better_and_why_and_nothing_else_there(recorded: Path) -> None:
    losses = written(recorded).split("## Where a peer is better")[1].split("## ")[0]
    assert "accepted one by one, in a second: 1,000, where quick 2,000. Why: an intent is checked" in losses
    assert "memory for one that waits, bytes: 1,000, where quick 300. Why:" in losses
    assert "slow" not in losses


def test_what_was_not_measured_is_named(recorded: Path) -> None:
    assert "`latency`, `fair`, `batch`" in written(recorded).split("## Not measured yet")[1]


def test_each_plot_is_drawn_linked_and_readable(recorded: Path) -> None:
    page = written(recorded)
    drawn = {path.name for path in recorded.glob("*.svg")}
    assert drawn == {
        "limiter-use-over-time.svg",
        "limiter-use-beside-peers.svg",
        "otp-latency-under-a-campaign.svg",
        "memory-per-waiting-intent.svg",
        "drain-rate-by-workers.svg",
    }
    assert all(f"](benchmarks/{name})" in page for name in drawn)
    for path in recorded.glob("*.svg"):
        shapes = [one.tag.rpartition("}")[2] for one in ET.fromstring(path.read_text(encoding="utf-8"))]  # noqa: S314 - our own
        assert "polyline" in shapes or shapes.count("rect") > 1, path.name


def test_a_better_run_takes_the_place_of_the_last_one(recorded: Path) -> None:
    record(recorded, "enqueue", 1, enqueue_per_s=5000, peers={})
    assert [path.name for path in recorded.glob("enqueue-*")] == ["enqueue-1.json"]


def test_every_measurement_has_a_question_and_figures_that_are_explained() -> None:
    explained = (ROOT / "tests" / "bench" / "README.md").read_text(encoding="utf-8")
    assert set(report.QUESTIONS) == set(report.FIGURES) == set(run.NAMES)
    for bench in run.NAMES:
        assert (ROOT / "tests" / "bench" / f"{bench}.py").exists()
        for figure in report.FIGURES[bench]:
            assert f"`{figure.path.rpartition('.')[2]}`" in explained, (bench, figure.path)


def test_the_page_in_the_documentation_is_made_of_the_results_beside_it() -> None:
    found = report.load(DOCS / "benchmarks")
    plots = report.draw(found)
    again = "make the page again: python -m tests.bench.report docs/benchmarks docs/benchmarks.md"
    assert (DOCS / "benchmarks.md").read_text(encoding="utf-8") == report.page(found, plots), again
    pictures = {name: picture for drawn in plots.values() for name, picture in drawn.items()}
    assert {path.name: path.read_text(encoding="utf-8") for path in (DOCS / "benchmarks").glob("*.svg")} == pictures, again


def test_a_run_goes_on_after_a_failure_and_says_at_its_end_what_failed_and_what_was_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {
        "fair": run.Said(1),
        "batch": run.Said(0, {"bench": "batch", "machine": MACHINE}, ["notice: bullmq is left out: there is no Node here"]),
    }

    def measured(name: str, _more: Sequence[str]) -> run.Said:
        return said[name]

    monkeypatch.setattr(run, "measure", measured)
    last = run.run(["fair", "batch"], tmp_path, 2, [])
    assert last == ["failed: fair, exit status 1", "notice: bullmq is left out: there is no Node here (batch)"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["batch-1.json", "batch-2.json"]


def test_a_measurement_that_cannot_be_run_is_a_failure_and_one_that_hangs_is_ended() -> None:
    assert run.measure("limits", ["--no-such-option"]).status == 2
    hanging = run.measure("fair", ["--no-peers"], within=0.1)
    assert hanging.status != 0
    assert hanging.figures is None


def test_a_result_is_read_as_it_was_written(recorded: Path) -> None:
    written_down = json.loads((recorded / "enqueue-2.json").read_text(encoding="utf-8"))
    assert report.load(recorded)["enqueue"][1] == written_down
