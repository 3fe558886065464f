"""What the chart renders: the same by both Helms, valid to Kubernetes and to those whose resources it uses, and fit to run."""

from __future__ import annotations

import json
import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import helm_python as helm
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
from tests.support import custom_resources, helm3
from tests.support.chart import CASES, CHART, Objects, Values, merged, objects, plain, pods, render

from tuma_worker.queue import broker
from tuma_worker.settings import Account

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


OLDEST, NEWEST = "1.27", "1.34"


@pytest.fixture(scope="module", autouse=True)
def _definitions_are_read_once() -> Iterator[None]:
    """The validator reads megabytes for each object."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kubernetes_validate.utils, "schema_contents", lru_cache(kubernetes_validate.utils.schema_contents))
        yield


# ----------------------------------------------------------------------------------------------------------- names and schemas

# What is made of an object's name has a length of its own: KEDA's HPA is the object with nine more.
_MOST = {"Service": 63, "ScaledObject": 54}
_SERVICE = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
READ_AS_TRUE = plain(nameOverride="on", monitoring={"podMonitor": {"enabled": True}, "rules": {"enabled": True}})
LONGEST = plain(nameOverride="a" * 30, workers={"w" * 16: {"autoscaling": {"mode": "keda"}}})


@pytest.mark.parametrize("values", [LONGEST, READ_AS_TRUE, *CASES.values()], ids=["the longest", "true", *CASES])
def test_every_name_is_one_that_an_api_server_takes(values: Values) -> None:
    for kind, name in objects(values):
        assert len(name) <= _MOST.get(kind, 253)
        assert _SERVICE.fullmatch(name)


@pytest.mark.parametrize("case", CASES)
def test_what_renders_is_valid_to_the_oldest_and_the_newest_kubernetes(case: str) -> None:
    for one in objects(CASES[case]).values():
        if one["apiVersion"].split("/")[0] in {"keda.sh", "monitoring.coreos.com", "gateway.networking.k8s.io"}:
            continue
        for version in (OLDEST, NEWEST):
            _validate(merged(one), version)


@cache  # most cases differ in an object or two
def _validate(rendered: str, version: str) -> None:
    kubernetes_validate.validate(json.loads(rendered), version, strict=True)


OTHERS = {"keda": {"ScaledObject"}, "monitoring": {"PodMonitor", "PrometheusRule"}, "route": {"HTTPRoute"}}


@pytest.mark.parametrize("case", OTHERS)
def test_what_renders_for_keda_the_prometheus_operator_and_the_gateway_api_is_valid_to_them(case: str) -> None:
    found = [one for one in objects(CASES[case]).values() if custom_resources.is_known(one)]
    assert {one["kind"] for one in found} == OTHERS[case]
    assert [custom_resources.strangers(one) for one in found] == [[]] * len(found)


def test_a_field_that_keda_does_not_know_is_found() -> None:
    scaled = next(one for one in objects(CASES["keda"]).values() if one["kind"] == "ScaledObject")
    misspelt = scaled | {"spec": scaled["spec"] | {"minReplicas": 2}}
    assert custom_resources.strangers(misspelt) == ["spec.minReplicas"]
    number = scaled | {"spec": scaled["spec"] | {"triggers": [{"type": "metrics-api", "metadata": {"targetValue": 8}}]}}
    with pytest.raises(ValueError, match=r"targetValue"):
        custom_resources.strangers(number)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"parentRefs": [{"name": "g", "kind": "Gateway!"}]}, "parentRefs.0.kind"),
        ({"hostnames": ["s.example:443"]}, "hostnames.0"),
        ({"rules": [{"matches": [{"path": {"value": "receipts/"}}]}]}, "must be an absolute path"),
        ({"rules": [{"backendRefs": [{"name": "rel"}]}]}, "port is required for a Service"),
        ({"rules": [{"backendRefs": [{"name": "rel", "port": "http"}]}]}, "backendRefs.0.port"),
        ({"rules": []}, "rules"),
    ],
)
def test_a_route_that_the_gateway_api_would_refuse_is_found(spec: dict[str, Any], words: str) -> None:
    route = objects(CASES["route"])["HTTPRoute", "rel-gateway"]
    with pytest.raises(ValueError, match=re.escape(words)):
        custom_resources.strangers(route | {"spec": route["spec"] | spec})
    unknown = route | {"spec": route["spec"] | {"hostname": "s.example"}}
    assert custom_resources.strangers(unknown) == ["spec.hostname"]


# -------------------------------------------------------------------------------------------------------- Helm 3 beside Helm 4


def test_the_chart_has_no_finding_of_lint() -> None:
    found = helm.lint(CHART, values=CASES["least"])["messages"]
    assert [one["error"] for one in found] == ["icon is recommended"]


def by_name(found: Iterable[dict[str, Any]]) -> Objects:
    return {(one["kind"], one["metadata"]["name"]): one for one in found}


@pytest.mark.parametrize("case", CASES)
def test_helm_3_renders_what_helm_4_does(case: str) -> None:
    rendered = by_name(helm3.render(CHART, CASES[case], name="rel", namespace="ns"))
    assert rendered == objects(CASES[case])


def test_helm_3_finds_nothing_to_complain_of() -> None:
    assert helm3.version().startswith("v3.")
    assert "0 chart(s) failed" in helm3.lint(CHART, CASES["everything"])


# --------------------------------------------------------------------------------------------------- pods and the ways to them


@pytest.mark.parametrize("case", CASES)
def test_every_pod_is_restricted(case: str) -> None:
    for spec in pods(objects(CASES[case])).values():
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert "volumes" not in spec or all({"emptyDir", "secret"} & volume.keys() for volume in spec["volumes"])
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
            }  # fmt: skip
            assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize("case", CASES)
def test_every_selector_finds_pods_and_every_target_is_there(case: str) -> None:
    found = objects(CASES[case])
    labels = [one["spec"]["template"]["metadata"]["labels"] for (kind, _), one in found.items() if kind == "Deployment"]
    for (kind, _), one in found.items():
        spec = one.get("spec", {})
        if kind in {"Service", "Deployment", "PodDisruptionBudget", "NetworkPolicy"}:
            selector = spec["podSelector"] if kind == "NetworkPolicy" else spec["selector"]
            wanted = selector.get("matchLabels", selector)
            assert sum(wanted.items() <= one.items() for one in labels) == 1, (kind, wanted)
        if "scaleTargetRef" in spec:
            target = found["Deployment", spec["scaleTargetRef"]["name"]]
            assert "replicas" not in target["spec"], "one owner of the number"


def test_a_gateway_is_put_where_its_values_say_and_every_pod_may_fetch_its_image() -> None:
    placed = {"priorityClassName": "high", "nodeSelector": {"a": "b"}, "tolerations": [{"operator": "Exists"}]}
    found = objects(plain(gateway={**placed, "podAnnotations": {"x": "y"}, "env": [{"name": "Z", "value": "1"}]}))
    gateway = found["Deployment", "rel-gateway"]["spec"]["template"]
    assert placed.items() <= gateway["spec"].items()
    assert gateway["metadata"]["annotations"].keys() == {"checksum/config", "x"}
    assert {"name": "Z", "value": "1"} in gateway["spec"]["containers"][0]["env"]
    fetching = pods(objects(CASES["a pull secret"]))
    assert len(fetching) == 4
    assert all(one["imagePullSecrets"] == [{"name": "p"}] for one in fetching.values())


def test_a_changed_configuration_rolls_every_deployment_of_ours() -> None:
    def sums(values: Values) -> list[str]:
        found = objects(values)
        return [
            one["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
            for (kind, _), one in found.items()
            if kind == "Deployment"
        ]

    assert not set(sums(plain())) & set(sums(plain(logLevel="debug")))


def test_workers_reach_redis_sentinels_and_providers_at_their_ports() -> None:
    def ports(case: str, policy: str) -> set[int]:
        egress = objects(CASES[case])["NetworkPolicy", policy]["spec"]["egress"]
        return {port["port"] for way in egress for port in way.get("ports", [])}

    assert ports("least", "rel-worker-main") == {53, 6379, 26379, 443}
    assert ports("least", "rel-gateway") == {53, 6379, 26379}
    assert ports("a provider elsewhere", "rel-worker-main") == {53, 6379, 26379, 443, 8081}


def test_metrics_and_scaling_are_on_ports_that_no_route_leads_to() -> None:
    for case in ("ingress", "route"):
        found = objects(CASES[case])
        way = next(one for (kind, _), one in found.items() if kind in {"Ingress", "HTTPRoute"})
        assert "rel-gateway" in json.dumps(way)
        assert "/receipts/" in json.dumps(way)
        assert "worker" not in json.dumps(way)
        ports = {port["name"]: port["containerPort"] for port in pods(found)["rel-gateway"]["containers"][0]["ports"]}
        assert ports == {"http": 8080, "metrics": 9191}
        assert [port["targetPort"] for port in found["Service", "rel-gateway"]["spec"]["ports"]] == ["http"]


# ------------------------------------------------------------------------------------------------------------------ arithmetic


@pytest.mark.parametrize("case", CASES)
def test_the_times_fit_together(case: str) -> None:
    values = CASES[case]
    for name, spec in pods(objects(values)).items():
        if "-worker-" not in name:
            continue
        container = spec["containers"][0]
        options = dict(word[2:].split("=") for word in container["args"][1:] if not word.startswith("--account"))
        served = [word.partition("=")[2] for word in container["args"] if word.startswith("--account=")]
        timeout = max(values["accounts"][one].get("timeout", Account.model_fields["timeout"].default) for one in served)
        drain, grace = float(options["shutdown-timeout"]), spec["terminationGracePeriodSeconds"]
        assert timeout < drain < grace
        assert 3 * timeout <= drain <= grace - 15
        assert options["processes"] == "1"
        assert "preStop" not in container.get("lifecycle", {}), "a second signal would let go of calls in flight"
        liveness = container["livenessProbe"]
        assert liveness["periodSeconds"] * liveness["failureThreshold"] + broker.HEARTBEAT > timeout


def test_the_notes_tell_rate_slots_ceiling_and_grace() -> None:
    (notes,) = [text for name, text in render(merged(CASES["least"])).items() if name.endswith("NOTES.txt")]
    assert "1 calls/s" in notes
    assert "2 at 1 s a call" in notes
    assert "2 of 8 threads" in notes
    assert "90 s for calls in flight, 120 s until" in notes
