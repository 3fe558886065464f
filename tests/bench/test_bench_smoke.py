"""Every measurement runs, in small, and what must be correct is correct. No timing is asserted: the measurements are for that."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.bench.support.processes import ROOT

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
    assert process.returncode == 0, err
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
