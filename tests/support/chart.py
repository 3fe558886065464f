"""The chart with the values of each case, rendered by the real Helm engine."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import helm_python as helm
import yaml

CHART = Path(__file__).parents[2] / "helm"
Values = dict[str, Any]
Objects = dict[tuple[str, str], dict[str, Any]]


def account(**more: Any) -> Values:  # noqa: ANN401 - any value of the chart
    return {"provider": "lisoloo", **more}


def plain(**more: Any) -> Values:  # noqa: ANN401 - as above
    """The least that renders, and more."""
    return {"accounts": {"main": account()}, "existingSecret": "tuma", **more}


def workers(**more: Any) -> Values:  # noqa: ANN401 - as above
    return plain(workers={"main": more})


def way_in(told: str, host: str) -> Values:
    return plain(publicUrl=told, gateway={"ingress": {"enabled": True, "host": host}})


CASES: dict[str, Values] = {
    "least": plain(),
    "own secret": {"accounts": {"main": account()}, "redis": {"url": "rediss://r:6379"}, "secrets": {"main.api-key": "k"}},
    "to try out": {
        "accounts": {"main": account(), "spare": account(), "other": account(provider="lineserve")},
        "valkey": {"enabled": True},
        "sandbox": {"enabled": True},
    },
    "digest": plain(image={"repository": "r/tuma", "digest": "sha256:" + "a" * 64}),
    "two workers": plain(
        accounts={"a": account(timeout=8), "b": account(provider="lineserve")},
        workers={"fast": {"accounts": ["a"], "shutdownSeconds": 25, "graceSeconds": 45}, "slow": {"accounts": ["b"]}},
    ),
    "keda": workers(autoscaling={"mode": "keda"}),
    "hpa": workers(autoscaling={"mode": "hpa", "maxReplicas": 2}),
    "ingress": plain(publicUrl="https://s.example", gateway={"ingress": {"enabled": True, "host": "s.example", "tlsSecret": "t"}}),
    "any host": way_in("https://in.s.example:8443/", "*.s.example"),
    "names that YAML would read": plain(
        accounts={"123": account()},
        workers={"main": {"autoscaling": {"mode": "hpa", "maxReplicas": 2}}},
        monitoring={"rules": {"enabled": True}},
    ),
    "route": plain(
        publicUrl="https://s.example", gateway={"httpRoute": {"enabled": True, "host": "s.example", "parentRefs": [{"name": "g"}]}}
    ),
    "monitoring": plain(monitoring={"podMonitor": {"enabled": True}, "rules": {"enabled": True}, "dashboard": {"enabled": True}}),
    "no policies": plain(networkPolicy={"enabled": False}, gateway={"enabled": False}, serviceAccount={"create": False}),
    "single": plain(gateway={"replicas": 1}, workers={"main": {"replicas": 1}}),
    "placed": workers(
        priorityClassName="high", nodeSelector={"a": "b"}, tolerations=[{"operator": "Exists"}], podAnnotations={"x": "y"}
    ),
    "everything": plain(
        publicUrl="https://s.example",
        routes={"drc": {"*": ["main"]}},
        pushing={"networks": ["10.1.0.0/16", "10.2.0.0/16"], "timeout": 4.5, "atOnce": 2},
        intervals={"poll": 60, "sweep": 30, "failover": 0.5},
        gateway={"proxies": ["10.3.0.0/16"]},
        tracing={"endpoint": "http://otel-collector.monitoring:4318"},
    ),
    "routes": plain(routes={"drc": {"*": ["main"]}}, accounts={"main": account(secretKeys=["webhook-secret"])}),
    "a provider elsewhere": plain(accounts={"main": account(base_url="http://provider.example:8081/v1")}),
    "a pull secret": plain(image={"pullSecrets": [{"name": "p"}]}, sandbox={"enabled": True}),
}


def merged(values: Values) -> str:
    return json.dumps(values, sort_keys=True)


@lru_cache
def render(values: str) -> dict[str, str]:
    with helm.Chart.load(CHART) as chart:
        return dict(chart.render(json.loads(values), name="rel", namespace="ns"))


def objects(values: Values) -> Objects:
    """What renders, by kind and name."""
    texts = [text for name, text in render(merged(values)).items() if not name.endswith(".txt")]
    found = [one for text in texts for one in yaml.safe_load_all(text) if one is not None]
    named = {(one["kind"], one["metadata"]["name"]): one for one in found}
    assert len(named) == len(found), "no two have one name"
    return named


def pods(found: Objects) -> dict[str, dict[str, Any]]:
    templates = {name: one["spec"]["template"]["spec"] for (kind, name), one in found.items() if kind == "Deployment"}
    return templates | {name: one["spec"] for (kind, name), one in found.items() if kind == "Pod"}
