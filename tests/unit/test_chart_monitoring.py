"""The alerts and the dashboard of the chart, held against what we count and tried by Prometheus's own tool."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.support.chart import CASES, CHART, objects

if TYPE_CHECKING:
    from pathlib import Path

# ---------------------------------------------------------------------------------------------------------------------- alerts


def rules() -> str:
    return yaml.safe_dump(objects(CASES["monitoring"])["PrometheusRule", "rel"]["spec"])


@pytest.mark.skipif(shutil.which("promtool") is None, reason="NO PROMTOOL: install Debian's prometheus to test the alerts")
def test_each_alert_fires_in_its_fault_and_is_silent_in_the_calm(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(rules())
    (tmp_path / "tests.yaml").write_text(
        yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": SCENES})
    )
    ran = subprocess.run(["promtool", "test", "rules", "tests.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False)  # noqa: S607 - whichever is on PATH
    assert ran.returncode == 0, ran.stdout + ran.stderr
    tested = {one["alertname"] for scene in SCENES for one in scene["alert_rule_test"] if one["exp_alerts"]}
    assert tested == {rule["alert"] for group in yaml.safe_load(rules())["groups"] for rule in group["rules"]}


CALM = {
    'tuma_useful_slots{account="a"}': "1x40",
    'tuma_provider_bound{account="a"}': "0x40",
    'tuma_account_readable{account="a"}': "1x40",
    'tuma_oldest_waiting_seconds{account="a",priority="otp"}': "0x40",
    'tuma_oldest_waiting_seconds{account="a",priority="bulk"}': "600x40",
    'tuma_account_standing{account="a",hold="halted"}': "0x40",
    'tuma_account_standing{account="a",hold="breaker"}': "0x40",
    'tuma_oldest_unanswered_seconds{account="a"}': "120x40",
    'tuma_balance_runway_hours{account="a"}': "1000x40",
    'tuma_bulk_held{account="a"}': "0x40",
    'tuma_pushes_total{account="a",outcome="told"}': "0+60x40",
    'tuma_pushes_total{account="a",outcome="given-up"}': "3x40",
    'tuma_calls_total{account="a",operation="send",answer="Accepted"}': "0+60x40",
    'tuma_calls_total{account="a",operation="send",answer="Unknown"}': "0+1x40",
    'tuma_receipts_total{account="a",verdict="taken"}': "0+60x40",
    'tuma_receipts_total{account="a",verdict="unauthentic"}': "0+1x40",
    'tuma_receipts_total{account="other",verdict="unknown"}': "0+600x40",
}
LATE = {"otp": 60, "transactional": 400, "bulk": 20_000}  # seconds


def late(priority: str, **more: str) -> dict[str, str]:
    """Somebody of this priority waits for too long, and of the account `a` is so what else is named."""
    told = {f'tuma_{name}{{account="a"}}': values for name, values in more.items()}
    return {f'tuma_oldest_waiting_seconds{{account="a",priority="{priority}"}}': f"{LATE[priority]}x40", **told}


# What the fault shows, the alert that is to fire and its labels besides the account's.
FAULTS: list[tuple[dict[str, str], str, dict[str, str]]] = [
    (
        {'tuma_answers_unrecognised_total{account="a",status="418",code="tea"}': "_x25 1x15"},
        "TumaAnswerUnrecognised", {"status": "418", "code": "tea"},
    ),
    ({'tuma_account_standing{account="a",hold="halted"}': "1x40"}, "TumaAccountHalted", {"severity": "critical"}),
    ({'tuma_account_standing{account="a",hold="breaker"}': "1x40"}, "TumaBreakerOpen", {}),
    ({'tuma_calls_total{account="a",operation="send",answer="Unknown"}': "0+6x40"}, "TumaCallsWithoutAnswer", {}),
    ({'tuma_oldest_unanswered_seconds{account="a"}': "0+60x40"}, "TumaCallsUnresolved", {}),
    *((late(one, provider_bound="1x40"), "TumaShortOfThroughput", {"priority": one}) for one in LATE),
    # A look may fall between the end of a permit and the next claim.
    (late("otp", provider_bound=" ".join(["0 1"] * 20)), "TumaShortOfThroughput", {"priority": "otp"}),
    *((late(one), "TumaShortOfWorkers", {"priority": one, "severity": "critical"}) for one in LATE),
    ({'tuma_balance_runway_hours{account="a"}': "23x40"}, "TumaMoneyRunsOut", {}),
    ({'tuma_pushes_total{account="a",outcome="given-up"}': "3x25 4x15"}, "TumaEventsMissed", {}),
    (late("bulk", bulk_held="1x40"), "TumaBulkHeld", {}),  # no worker would help
    ({'tuma_receipts_total{account="a",verdict="unauthentic"}': "0+90x40"}, "TumaReceiptsRefused", {}),
    ({'tuma_account_readable{account="a"}': "0x40"}, "TumaRedisAway", {"severity": "critical"}),
]  # fmt: skip
ALERTS = [*dict.fromkeys(name for _, name, _ in FAULTS), "TumaNoWorkers"]


def _scene(series: dict[str, str], expected: dict[str, dict[str, str]]) -> dict[str, Any]:
    summaries = {
        rule["alert"] + rule["labels"].get("priority", ""): rule["annotations"]["summary"]
        for group in yaml.safe_load(rules())["groups"]
        for rule in group["rules"]
    }

    def alerts(name: str) -> list[dict[str, Any]]:
        if name not in expected:
            return []
        labels = expected[name]
        summary = summaries[name + labels.get("priority", "")]
        for label, value in labels.items():
            summary = summary.replace(f"{{{{ $labels.{label} }}}}", value)
        summary = summary.replace(
            "{{ $labels.status }} {{ $labels.code }}", " ".join(labels.get(one, "") for one in ("status", "code"))
        )
        return [{"exp_labels": labels, "exp_annotations": {"summary": summary}}]

    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [{"eval_time": "30m", "alertname": name, "exp_alerts": alerts(name)} for name in ALERTS],
    }


SCENES = [
    _scene(CALM, {}),
    # Whoever is halted is late, and nobody can help it.
    _scene(
        CALM | late("otp") | {'tuma_account_standing{account="a",hold="halted"}': "1x40"},
        {"TumaAccountHalted": {"account": "a", "severity": "critical"}},
    ),
    *(_scene(CALM | series, {name: {"account": "a", "severity": "warning"} | labels}) for series, name, labels in FAULTS),
    _scene({}, {"TumaNoWorkers": {"severity": "critical"}}),
]


def test_every_rule_asks_for_what_we_count_by_labels_that_it_has() -> None:
    rows = re.findall(r"^\| `(tuma_\w+)` \|.*\| (.*) \|$", (CHART.parent / "docs" / "metrics.md").read_text(), re.MULTILINE)
    labels = {name: set(re.findall(r"`(\w+)`", column)) for name, column in rows}
    asked = [rule["expr"] for group in yaml.safe_load(rules())["groups"] for rule in group["rules"]]
    for name, braces in (found for one in asked for found in re.findall(r"(tuma_\w+)(?:\{([^}]*)\})?", one)):
        assert set(re.findall(r"(\w+)[=!]", braces)) <= labels[name]


# ------------------------------------------------------------------------------------------------------------------- dashboard


@pytest.mark.skipif(shutil.which("promtool") is None, reason="NO PROMTOOL: install Debian's prometheus to test the dashboard")
def test_every_panel_asks_what_prometheus_understands_and_we_count(tmp_path: Path) -> None:
    panels = json.loads((CHART / "files" / "dashboard.json").read_text())["panels"]
    asked = [target["expr"] for panel in panels for target in panel["targets"]]
    documented = (CHART.parent / "docs" / "metrics.md").read_text()
    assert {name.removesuffix("_bucket") for one in asked for name in re.findall(r"tuma_\w+", one)} <= set(
        re.findall(r"`(tuma_\w+)`", documented)
    )
    recorded = [{"record": f"panel:{index}", "expr": expr} for index, expr in enumerate(asked)]
    (tmp_path / "panels.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": recorded}]}))
    ran = subprocess.run(["promtool", "check", "rules", "panels.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False)  # noqa: S607 - as above
    assert ran.returncode == 0, ran.stdout + ran.stderr
