"""Every measurement runs, in small and without peers, and what must hold at any size holds. No timing is asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from tests.bench.support.processes import ROOT

pytestmark = pytest.mark.long  # minutes in all; `make bench` is the thing itself

PATIENCE = 170.0


def measured(name: str, *options: str) -> dict[str, Any]:
    """Run a measurement without peers and return the object in its last line."""
    command = [sys.executable, "-m", f"tests.bench.{name}", "--json", "--no-peers", *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            out, err = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.terminate()  # it then ends what it has started; killed, it could not
            raise
    assert process.returncode == 0, err[-2000:]
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    assert found["bench"] == name
    return found


def test_no_limit_is_broken_and_no_claim_wasted_in_small() -> None:
    found = measured("limits", "--seconds", "3", "--window", "1", "--calls", "10", "--case", "steady", "--case", "threefold")
    assert set(found["cases"]) == {"steady", "threefold"}
    assert all(case["calls"] > 0 for case in found["cases"].values())
    assert (found["violations"], found["rate_limited"], found["wasted_claims"]) == (0, 0, 0)


def test_every_send_to_an_idle_worker_becomes_a_call() -> None:
    found = measured("latency", "--seconds", "4", "--idle-seconds", "1")
    assert found["sends"] == 4
    assert found["start_p50_ms"] > 0
    assert found["bare_p50_ms"] > 0


def test_otps_and_a_campaign_share_a_limit_without_breaking_it() -> None:
    found = measured("priority", "--seconds", "2", "--window", "2", "--calls", "20", "--recipients", "1000")
    assert found["otps"] == 10
    assert (found["violations"], found["rate_limited"]) == (0, 0)


def test_a_late_source_is_served_within_the_limit() -> None:
    found = measured("fair", "--early", "500", "--late", "10", "--calls", "20")
    assert found["a_calls_meanwhile"] < 500
    assert (found["violations"], found["rate_limited"]) == (0, 0)


def test_a_backlog_of_one_text_goes_out_in_full_calls_and_over_no_limit() -> None:
    found = measured("batch", "--size", "2500", "--window", "1", "--case", "transactional", "--case", "bulk")
    assert found["violations"] == 0
    assert found["calls"] == 3
    assert [case["recipients"] for case in found["cases"].values()] == [2500, 2500]


def test_what_is_due_later_waits_in_the_due_set_and_what_is_due_now_is_called_for_once() -> None:
    found = measured("due", "--size", "1000", "--claims", "5", "--punctual", "50")
    assert found["jobs"] == 1000
    assert found["bytes_per_job_beyond_record"] > 0
    assert found["a_call_each"]["calls"] == 50
    assert 1 <= found["together"]["calls"] <= 50


def test_schedules_weigh_something_are_steered_and_fire_each_once() -> None:
    found = measured("schedule", "--size", "500", "--punctual", "50")
    assert (found["schedules"], found["punctual"]) == (500, 50)
    assert found["bytes_per_schedule"] > 0
    assert found["pause_resume_cancel_per_s"] > 0
    assert 1 <= found["calls"] <= 50


def test_accepting_a_single_writes_its_record_its_job_and_its_event() -> None:
    found = measured("enqueue", "--size", "300", "--rounds", "1")
    assert 3 <= found["redis_writes_per_intent"] < 5
    assert found["enqueue_many_per_s"] > 0
    assert found["peers"] == {}


# The measurement itself ends with an error where a recipient was called for twice, or is not written down as handed over.
@pytest.mark.parametrize(
    ("part", "figure"),
    [("batched", "recipients_per_s_batched"), ("calls", "calls_per_s"), ("both", "produced_and_drained_per_s")],
)
def test_a_backlog_is_called_for_once_and_written_down(part: str, figure: str) -> None:
    found = measured("drain", "--size", "600", "--rounds", "1", "--part", part, "--no-steps")
    assert found[figure] > 0


def test_receipts_are_taken_in_and_told_on() -> None:
    found = measured("receipts", "--size", "200", "--rounds", "1")
    assert found["receipts"] == 400
    assert found["receipts_per_s"] > 0
    assert found["events_per_s"] > 0


def test_intents_are_accepted_over_http_in_both_ways() -> None:
    found = measured("gateway", "--size", "300", "--rounds", "1")
    assert min(found["http_per_s"], found["http_lines_per_s"]) > 0


def test_the_work_of_workers_that_end_is_done_by_others_once() -> None:
    found = measured("crash", "--size", "200", "--times", "1")
    assert set(found["tuma"]) == {"SIGKILL", "SIGTERM"}
    for ended in found["tuma"].values():
        assert (ended["lost"], ended["duplicated"], ended["not_done_within_s"], ended["unrecovered"]) == (0, 0, 0, 0)


def test_workers_that_come_and_go_lose_and_double_nothing_and_the_signal_says_what_holds() -> None:
    found = measured("scaling", "--seconds", "2", "--most", "3")
    assert (found["lost"], found["duplicated"], found["violations"], found["rate_limited"]) == (0, 0, 0, 0)
    assert found["scale"]["provider_bound"] == {"idle": False, "one": False, "most": True, "one_again": False}
    assert max(found["scale"]["calls_per_s"].values()) <= 20 * 3 / 2, "three windows may begin in two seconds"


def test_a_call_and_a_recipient_cost_something() -> None:
    found = measured("capacity", "--size", "100", "--rounds", "1", "--seconds", "1")
    assert found["worker_ms_per_call"] > found["worker_ms_per_recipient"]
    assert found["bytes_per_finished_single"] > found["bytes_per_waiting_single"] > 0
    assert found["connections_per_account"] > 0
