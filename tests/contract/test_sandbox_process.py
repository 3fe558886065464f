"""The sandbox as a program: its line, its port, its end, its settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.contract.conftest import Sandbox


def test_it_ends_quietly_within_a_second_of_sigterm_even_while_a_call_hangs(
    start_sandbox: Callable[..., Sandbox],
    capfd: pytest.CaptureFixture[str],
) -> None:
    sandbox = start_sandbox()
    sandbox.config(latency_ms=60_000)
    hanging = subprocess.Popen([sys.executable, "-c", _CALL, f"{sandbox.url}/lineserve/v1/sms/messages"])
    sandbox.until(lambda ledger: "lineserve" in ledger["requests"])

    began = time.monotonic()
    sandbox.process.terminate()
    assert sandbox.process.wait(5) == 0
    assert time.monotonic() - began < 1
    hanging.wait(10)
    assert capfd.readouterr().err == ""


_CALL = "import sys, http.client, urllib.parse as u; p = u.urlsplit(sys.argv[1]); c = http.client.HTTPConnection(p.netloc)\n"
_CALL += "c.request('GET', p.path)\ntry: c.getresponse()\nexcept OSError: pass"


def test_a_taken_port_is_one_clear_line_and_exit_status_2(sandbox: Sandbox) -> None:
    port = str(urlsplit(sandbox.url).port)
    ended = subprocess.run([*_COMMAND, "--port", port], capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.strip() == f"sandbox: cannot listen on 127.0.0.1:{port}: Address already in use"


def test_an_unknown_setting_is_one_clear_line_and_exit_status_2() -> None:
    ended = subprocess.run([*_COMMAND, "--config", '{"latency": 3}'], capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("sandbox: config: unknown latency; known are ")


def test_settings_can_come_from_a_file(start_sandbox: Callable[..., Sandbox], tmp_path: Path) -> None:
    file = tmp_path / "sandbox.json"
    file.write_text(json.dumps({"lisoloo": {"unit_price": 0.5}}))
    sandbox = start_sandbox("--config", str(file))
    assert sandbox.http.get("/_sandbox/config").json()["lisoloo"]["unit_price"] == 0.5


_COMMAND = [sys.executable, "-m", "tuma_worker.sandbox"]


def test_a_patch_merges_into_the_settings_and_delete_brings_the_first_ones_back(sandbox: Sandbox) -> None:
    first = sandbox.http.get("/_sandbox/config").json()
    changed = sandbox.config(lisoloo={"keys": {"sk_test_other": {"label": "other"}}, "limits": {"send": None}})
    assert changed["lisoloo"]["keys"].keys() == first["lisoloo"]["keys"].keys() | {"sk_test_other"}
    assert changed["lisoloo"]["limits"].keys() == first["lisoloo"]["limits"].keys() - {"send"}
    sandbox.http.delete("/_sandbox/config")
    assert sandbox.http.get("/_sandbox/config").json() == first


def test_a_patch_that_makes_no_sense_changes_nothing_and_names_the_place(sandbox: Sandbox) -> None:
    first = sandbox.http.get("/_sandbox/config").json()
    for patch, place in (
        ({"latency_ms": "fast"}, "config.latency_ms: expected a number"),
        ({"lisoloo": {"window": "rolling"}}, "config.lisoloo.window: expected one of sliding, fixed"),
        ({"lineserve": {"limits": {"sms": [{"count": "1"}]}}}, "config.lineserve.limits.sms[0].count: expected a whole number"),
        ([1], "config: expected an object"),
    ):
        answer = sandbox.http.post("/_sandbox/config", json=patch)
        assert (answer.status_code, answer.json()) == (400, {"error": place})
    assert sandbox.http.get("/_sandbox/config").json() == first


def test_what_is_not_imitated_is_404_in_the_providers_own_shape(sandbox: Sandbox) -> None:
    assert sandbox.lisoloo("GET", "/contacts").json() == {"detail": "Not Found"}
    assert sandbox.lineserve("GET", "/messaging/inbound").json()["error"]["code"] == "not_found"
    assert sandbox.ledger()["requests"] == {"lisoloo": {"not imitated": {"404": 1}}, "lineserve": {"not imitated": {"404": 1}}}


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux tells the CPU time of another process this way")
def test_a_thousand_numbers_cost_less_than_30_ms_of_the_sandboxs_cpu(sandbox: Sandbox) -> None:
    sandbox.config(steps={"processing": 600}, magic_numbers=False)
    calls = [[f"+24399{call:03d}{i:04d}" for i in range(1000)] for call in range(10)]
    before = _cpu_seconds(sandbox.process.pid)
    for to in calls:
        assert sandbox.lisoloo("POST", "/send", {"to": to, "message": "hello"}).status_code == 201
    assert (_cpu_seconds(sandbox.process.pid) - before) / len(calls) < 0.030


def _cpu_seconds(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
