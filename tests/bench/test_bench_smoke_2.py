"""Each measurement runs through with a small size and finds what must hold at any size. No timing is asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from tests.bench.support.processes import ROOT

WITHIN = 170.0


def bench(name: str, *options: str) -> dict[str, Any]:
    command = [sys.executable, "-m", f"tests.bench.{name}", "--json", *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            said, errors = process.communicate(timeout=WITHIN)
        except subprocess.TimeoutExpired:
            process.terminate()  # it then ends what it has started; killed, it could not
            raise
    assert process.returncode == 0, errors[-2000:]
    figures: dict[str, Any] = json.loads(said.splitlines()[-1])
    assert figures["bench"] == name
    return figures


def test_a_backlog_of_one_text_goes_out_in_full_calls_and_over_no_limit() -> None:
    figures = bench("batch", "--size", "2500", "--window", "1", "--case", "transactional", "--case", "bulk")
    assert figures["violations"] == 0
    assert figures["calls"] == 3
    assert [case["recipients"] for case in figures["cases"].values()] == [2500, 2500]


def test_what_is_due_later_waits_in_the_due_set_and_what_is_due_now_is_called_for_once() -> None:
    figures = bench("due", "--size", "1000", "--claims", "5", "--punctual", "50")
    assert figures["jobs"] == 1000
    assert figures["bytes_per_job_beyond_record"] > 0
    assert figures["a_call_each"]["calls"] == 50
    assert 1 <= figures["together"]["calls"] <= 50


def test_accepting_a_single_writes_its_record_its_job_and_its_event() -> None:
    figures = bench("enqueue", "--size", "300", "--rounds", "1", "--no-peers")
    assert 3 <= figures["redis_writes_per_intent"] < 5
    assert figures["enqueue_many_per_s"] > 0
    assert figures["peers"] == {}


def test_the_work_of_workers_that_end_is_done_by_others_once() -> None:
    figures = bench("crash", "--size", "200", "--times", "1")
    assert set(figures["tuma"]) == {"SIGKILL", "SIGTERM"}
    for ended in figures["tuma"].values():
        assert (ended["lost"], ended["duplicated"], ended["unrecovered"]) == (0, 0, 0)


# The measurement itself ends with an error where a recipient was called for twice, or is not written down as handed over.
@pytest.mark.parametrize("part", ["batched", "calls", "both"])
def test_a_backlog_is_called_for_once_and_written_down(part: str) -> None:
    figures = bench("drain", "--size", "600", "--rounds", "1", "--no-peers", "--part", part)
    measured = {"batched": "recipients_per_s_batched", "calls": "calls_per_s", "both": "produced_and_drained_per_s"}
    assert figures[measured[part]] > 0
