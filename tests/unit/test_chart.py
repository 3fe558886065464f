"""The chart, rendered by the real Helm engine and held against the schemas of Kubernetes and our own settings."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import helm_python as helm
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml
from tests.support import custom_resources, helm3

from tuma_worker import providers
from tuma_worker.core.limits import Counted
from tuma_worker.queue import broker
from tuma_worker.sandbox.settings import LINESERVE_TEST_KEY, LISOLOO_TEST_KEY, load
from tuma_worker.settings import Account, Settings
from tuma_worker.settings.problems import misnamed
from tuma_worker.settings.sources import REDIS_URL_FILE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CHART = Path(__file__).parents[2] / "helm"
OLDEST, NEWEST = "1.27", "1.34"
Values = dict[str, Any]
Objects = dict[tuple[str, str], dict[str, Any]]


@pytest.fixture(scope="module", autouse=True)
def _definitions_are_read_once() -> Iterator[None]:
    """The validator reads megabytes for each object."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kubernetes_validate.utils, "schema_contents", lru_cache(kubernetes_validate.utils.schema_contents))
        yield


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

REFUSED: dict[str, tuple[Values, str]] = {
    "nobody to send by": ({"existingSecret": "tuma"}, "accounts: none is configured"),
    "no server": ({"accounts": {"main": account()}, "secrets": {"main.api-key": "k"}}, "redis.url: no server is named"),
    "no key": ({"accounts": {"main": account()}, "redis": {"url": "redis://r"}}, "secrets: main.api-key is missing"),
    "two servers": (plain(valkey={"enabled": True}), "existingSecret: it holds redis-url"),
    "two secrets": (plain(secrets={"main.api-key": "k"}), "existingSecret: secrets are given as well"),
    "a tag that floats": (plain(image={"tag": "latest"}), 'image.tag: "latest" floats'),
    "grace too short": (workers(graceSeconds=100), "workers.main.graceSeconds: 100 is less than .* set at least 105"),
    "calls abandoned": (
        workers(shutdownSeconds=60),
        "workers.main.shutdownSeconds: 60 is less than three calls of main",
    ),
    "a gateway cut off": (plain(gateway={"preStopSeconds": 25}), "gateway.graceSeconds: 30 is less than"),
    "a budget that blocks": (
        workers(podDisruptionBudget={"maxUnavailable": 0}),
        "workers.main.podDisruptionBudget",
    ),
    "a gateway's too": (
        plain(gateway={"podDisruptionBudget": {"maxUnavailable": 0}}),
        "gateway.podDisruptionBudget",
    ),
    "above the ceiling": (
        workers(replicas=9),
        "workers.main.replicas: 9 replicas, but .* no more than 2 busy",
    ),
    "scaled above it": (
        workers(autoscaling={"mode": "keda", "maxReplicas": 9}),
        "autoscaling.maxReplicas: 9 replicas",
    ),
    "a floor above it": (
        workers(autoscaling={"mode": "keda", "minReplicas": 5}),
        "autoscaling.minReplicas: 5 is more",
    ),
    "a floor above what is told": (
        workers(autoscaling={"mode": "keda", "minReplicas": 2, "maxReplicas": 1}),
        "autoscaling.minReplicas: 2 is more",
    ),
    "receipts on a path": (way_in("https://s.example/sms", "s.example"), "publicUrl: .* is not what gateway.ingress.host"),
    "receipts at another host": (way_in("https://a.example", "s.example"), "publicUrl: .* is not what gateway.ingress.host"),
    "no such account": (workers(accounts=["mian"]), 'workers.main.accounts: "mian" is not one of accounts'),
    "served twice": (plain(workers={"main": {}, "more": {}}), 'workers.more.accounts: "main" is served by workers.main already'),
    "served by none": (
        plain(accounts={"a": account(), "b": account()}, workers={"main": {"accounts": ["a"]}}),
        "accounts.b: no workers serve it",
    ),
    "two ways in": (
        plain(gateway={"ingress": {"enabled": True, "host": "h"}, "httpRoute": {"enabled": True, "host": "h"}}),
        "choose one",
    ),
    "a route from nowhere": (
        plain(publicUrl="https://s.example", gateway={"httpRoute": {"enabled": True, "host": "s.example"}}),
        "gateway.httpRoute.parentRefs: no Gateway is named",
    ),
    "a route to nowhere": (
        plain(publicUrl="https://s.example", gateway={"httpRoute": {"enabled": True, "parentRefs": [{"name": "g"}]}}),
        "gateway.httpRoute.host: no host is named",
    ),
    "a parent without a name": (plain(gateway={"httpRoute": {"parentRefs": [{"namespace": "n"}]}}), "name"),
    "a way that nobody knows": (plain(gateway={"ingress": {"enabled": True, "host": "h"}}), "publicUrl: receipts have a way in"),
    "hpa over two accounts": (
        plain(accounts={"a": account(), "b": account()}, workers={"main": {"autoscaling": {"mode": "hpa"}}}),
        "hpa takes the",
    ),
    "a way in without a host": (
        plain(publicUrl="https://s.example", gateway={"ingress": {"enabled": True}}),
        "gateway.ingress.host: no host is named",
    ),
    "a part of a version": (plain(image={"tag": "1.2"}), 'image.tag: "1.2" floats'),
    "a name of a branch": (plain(image={"tag": "nightly"}), 'image.tag: "nightly" floats'),
    "a secret that is named and not there": (
        {
            "accounts": {"main": account(secretKeys=["webhook-secret"])},
            "redis": {"url": "redis://r"},
            "secrets": {"main.api-key": "k"},
        },
        "secrets: main.webhook-secret is missing",
    ),
    "a secret of nobody": (
        {
            "accounts": {"main": account()},
            "redis": {"url": "redis://r"},
            "secrets": {"main.api-key": "k", "mian.webhook-secret": "s"},
        },
        "secrets: mian.webhook-secret is of no account",
    ),
    "a secret that is none": (
        {"accounts": {"main": account()}, "redis": {"url": "redis://r"}, "secrets": {"main.api-key": "k", "main.webhook": "s"}},
        "secrets: main.webhook is none that an account has",
    ),
    "the server among the secrets": (
        {
            "accounts": {"main": account()},
            "redis": {"url": "redis://r"},
            "secrets": {"main.api-key": "k", "redis-url": "redis://r"},
        },
        "secrets: redis-url is made of redis.url",
    ),
    "a worker's name that ends in a dash": (plain(workers={"fast-": {}}), "fast-"),
    "a name that no Service may have": (plain(nameOverride="1st"), "nameOverride"),
    "a limit that is none": (plain(accounts={"main": account(limits=["fast"])}), "limits"),
    "a floor of no priority": (plain(accounts={"main": account(floors={"opt": 0.1})}), "opt"),
    "quiet hours without any": (plain(accounts={"main": account(quiet={"hour": "22:00-07:00"})}), "quiet"),
    "a route to nobody": (plain(routes={"drc": {"*": ["mian"]}}), 'routes.drc: "mian" is not one of accounts'),
    "a limit of nothing": (plain(accounts={"main": account(limits=["0/min"])}), "limits"),
    "a limit for no time": (plain(accounts={"main": account(limits=["60/0min"])}), "limits"),
    "misspelt": (plain(gatway={}), "gatway"),
    "misspelt within": (workers(threds=8), "threds"),
    "a secret among the fields": (plain(accounts={"main": account(api_key="k")}), "api_key"),
    "no provider": (plain(accounts={"main": {}}), "provider"),
    "another provider": (plain(accounts={"main": {"provider": "else"}}), "provider"),
    "a name that is none": (plain(accounts={"Main": account()}), "invalid propertyName 'Main'"),
    "a network that is none": (plain(pushing={"networks": ["intranet"]}), "networks"),
    "no threads": (workers(threads=0), "threads"),
}


def merged(values: Values) -> str:
    return json.dumps(values, sort_keys=True)


@lru_cache
def _rendered(values: str) -> dict[str, str]:
    with helm.Chart.load(CHART) as chart:
        return dict(chart.render(json.loads(values), name="rel", namespace="ns"))


def objects(values: Values) -> Objects:
    """What renders, by kind and name."""
    texts = [text for name, text in _rendered(merged(values)).items() if not name.endswith(".txt")]
    found = [one for text in texts for one in yaml.safe_load_all(text) if one is not None]
    named = {(one["kind"], one["metadata"]["name"]): one for one in found}
    assert len(named) == len(found), "no two have one name"
    return named


def pods(found: Objects) -> dict[str, dict[str, Any]]:
    templates = {name: one["spec"]["template"]["spec"] for (kind, name), one in found.items() if kind == "Deployment"}
    return templates | {name: one["spec"] for (kind, name), one in found.items() if kind == "Pod"}


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


# ---------------------------------------------------------------------------------------------------- Helm 3 beside Helm 4


def by_name(found: Iterable[dict[str, Any]]) -> Objects:
    return {(one["kind"], one["metadata"]["name"]): one for one in found}


@pytest.mark.parametrize("case", CASES)
def test_helm_3_renders_what_helm_4_does(case: str) -> None:
    rendered = by_name(helm3.render(CHART, CASES[case], name="rel", namespace="ns"))
    assert rendered == objects(CASES[case])


def test_helm_3_finds_nothing_to_complain_of() -> None:
    assert helm3.version().startswith("v3.")
    assert "0 chart(s) failed" in helm3.lint(CHART, CASES["everything"])


@pytest.mark.parametrize("case", REFUSED)
def test_helm_3_refuses_what_helm_4_does(case: str) -> None:
    values, message = REFUSED[case]
    if case == "a name that is none":
        message = "accounts: Property name"  # each has its own words where the schema refuses
    with pytest.raises(helm3.Refused, match=message):
        helm3.render(CHART, values, name="rel", namespace="ns")


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


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_go_wrong_is_refused_by_its_name(case: str) -> None:
    values, message = REFUSED[case]
    with pytest.raises(helm.HelmError, match=message):
        objects(values)


def test_the_chart_has_no_finding_of_lint() -> None:
    found = helm.lint(CHART, values=CASES["least"])["messages"]
    assert [one["error"] for one in found] == ["icon is recommended"]


# -------------------------------------------------------------------------------------------------- settings and the chart


@pytest.mark.parametrize("case", CASES)
def test_every_variable_is_a_setting(case: str) -> None:
    known = {f"TUMA_{name.upper()}" for name in Settings.model_fields} | {REDIS_URL_FILE}
    found = objects(CASES[case])
    config = found["ConfigMap", "rel-config"]["data"]
    named = [variable["name"] for spec in pods(found).values() for one in spec["containers"] for variable in one.get("env", [])]
    assert {name for name in [*config, *named] if name.startswith("TUMA_")} <= known
    assert not list(misnamed(dict.fromkeys([*config, *named], "x")))


ELSEWHERE = {
    "redis_url": "its file is named",
    "config_file": "the chart writes variables",
    "gateway_host": "given with the command",
    "gateway_port": "given with the command",
    "log_format": "json, for every container",
}


def test_every_setting_can_be_set_by_the_chart() -> None:
    found = objects(CASES["everything"])
    config = found["ConfigMap", "rel-config"]["data"]
    named = [variable["name"] for spec in pods(found).values() for one in spec["containers"] for variable in one.get("env", [])]
    there = {name.removeprefix("TUMA_").lower() for name in [*config, *named]}
    assert Settings.model_fields.keys() - there - ELSEWHERE.keys() == set()


def test_what_is_set_for_subscribers_and_rounds_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    found = objects(CASES["everything"])
    for name, text in found["ConfigMap", "rel-config"]["data"].items():
        if name not in {"TUMA_ACCOUNTS", "TUMA_ROUTES"}:
            monkeypatch.setenv(name, text)
    settings = Settings()
    assert (settings.push_networks, settings.push_timeout, settings.push_at_once) == (("10.1.0.0/16", "10.2.0.0/16"), 4.5, 2)
    assert (settings.poll_every, settings.sweep_every, settings.failover_every) == (60, 30, 0.5)
    assert settings.gateway_proxies == ("10.3.0.0/16",)
    assert settings.otlp_endpoint == "http://otel-collector.monitoring:4318"
    egress = found["NetworkPolicy", "rel-worker-main"]["spec"]["egress"]
    assert {"ports": [{"protocol": "TCP", "port": 4318}]} in egress
    assert {"to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}, {"ipBlock": {"cidr": "10.2.0.0/16"}}]} in egress


@pytest.mark.parametrize("case", CASES)
def test_the_rendered_accounts_and_routes_load(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = tmp_path / "key"
    key.write_text("secret-of-the-test")
    for name, text in objects(CASES[case])["ConfigMap", "rel-config"]["data"].items():
        monkeypatch.setenv(name, re.sub(r"/etc/tuma/secrets/[\w.-]+", str(key), text))
    assert Settings().accounts.keys() == CASES[case]["accounts"].keys()


def given_secrets(**keys: str) -> Objects:
    """Rendered with these secrets of `main`, and its key."""
    return objects({
        "accounts": {"main": account()}, "redis": {"url": "rediss://r:6379?ssl_ca_certs=/etc/tuma/secrets/ca.pem"},
        "secrets": {"main.api-key": "k", **keys},
    })  # fmt: skip


def test_a_secret_that_is_given_is_used_and_a_certificate_may_stand_beside() -> None:
    found = given_secrets(**{"main.webhook-secret": "s", "ca.pem": "certificate"})
    (main,) = json.loads(found["ConfigMap", "rel-config"]["data"]["TUMA_ACCOUNTS"]).values()
    assert main["api_key_file"] == "/etc/tuma/secrets/main.api-key"
    assert main["webhook_secret_file"] == "/etc/tuma/secrets/main.webhook-secret"
    assert found["Secret", "rel-secrets"]["stringData"].keys() == {"redis-url", "main.api-key", "main.webhook-secret", "ca.pem"}


def test_an_account_that_names_its_secrets_has_its_key_besides() -> None:
    (main,) = json.loads(objects(CASES["routes"])["ConfigMap", "rel-config"]["data"]["TUMA_ACCOUNTS"]).values()
    assert {name for name in main if name.endswith("_file")} == {"api_key_file", "webhook_secret_file"}


def test_workers_reach_redis_sentinels_and_providers_at_their_ports() -> None:
    def ports(case: str, policy: str) -> set[int]:
        egress = objects(CASES[case])["NetworkPolicy", policy]["spec"]["egress"]
        return {port["port"] for way in egress for port in way.get("ports", [])}

    assert ports("least", "rel-worker-main") == {53, 6379, 26379, 443}
    assert ports("least", "rel-gateway") == {53, 6379, 26379}
    assert ports("a provider elsewhere", "rel-worker-main") == {53, 6379, 26379, 443, 8081}


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


def test_receipts_of_the_sandbox_find_the_gateway() -> None:
    assert objects(CASES["to try out"])["ConfigMap", "rel-config"]["data"]["TUMA_PUBLIC_URL"] == "http://rel-gateway"
    assert "TUMA_PUBLIC_URL" not in objects(CASES["least"])["ConfigMap", "rel-config"]["data"]


def test_every_value_has_its_line_in_the_chart_s_readme() -> None:
    told = (CHART / "README.md").read_text()
    named = set()
    for row in re.findall(r"^\| (`.*?) \|", told, re.MULTILINE):
        first, *others = re.findall(r"`([^`]+)`", row)
        named |= {first, *(first.rpartition(".")[0] + one if one.startswith(".") else one for one in others)}
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    defaults = _leaves(values.pop("workerDefaults"))
    assert {*_leaves(values), *defaults} - {"workers", "accounts"} - named == set()


def _leaves(values: Values, at: str = "") -> set[str]:
    """The paths of all values; a table of a pod's own is one value."""
    found = set()
    for name, value in values.items():
        opaque = not isinstance(value, dict) or not value or name == "resources"
        found |= {at + name} if opaque else _leaves(value, f"{at}{name}.")
    return found


def test_an_account_of_the_chart_has_the_fields_of_the_settings_without_the_secrets() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    fields = schema["properties"]["accounts"]["additionalProperties"]["properties"].keys() - {"secretKeys"}
    secrets = {"api_key", "webhook_password", "webhook_password_old", "webhook_secret", "webhook_secret_old"}
    assert fields == Account.model_fields.keys() - secrets


def test_the_chart_knows_what_the_providers_document() -> None:
    helpers = (CHART / "templates" / "_helpers.tpl").read_text()
    for name in sorted(providers.PROVIDERS):
        documented = re.findall(r'"([^"]+)"', _documented(helpers, name))
        limits = [limit.count / limit.window for limit in providers.named(name).defaults.limits if limit.counted is Counted.CALLS]
        assert [_per_second(text) for text in documented if "calls" in text] == limits


def _documented(helpers: str, name: str) -> str:
    found = re.search(rf'"{name}" \(list ([^)]*)\)', helpers)
    assert found is not None
    return found[1]


def _per_second(text: str) -> float:
    count, _, per = text.partition(" calls/")
    return float(count) / {"min": 60, "h": 3600}[per]


def test_the_sandbox_of_the_chart_knows_its_accounts() -> None:
    found = objects(CASES["to try out"])
    keys = {name: key for name, key in found["Secret", "rel-secrets"]["stringData"].items() if name.endswith(".api-key")}
    assert len(set(keys.values())) == len(keys) == 3
    (container,) = pods(found)["rel-sandbox"]["containers"]
    settings = load(json.loads(container["args"][-1].removeprefix("--config=")))
    known = {**settings.lisoloo.keys, **settings.lineserve.keys}
    assert {known[key].label for key in keys.values()} == {"main", "spare", "other"}
    assert {LISOLOO_TEST_KEY, LINESERVE_TEST_KEY} <= known.keys()


def test_a_changed_configuration_rolls_every_deployment_of_ours() -> None:
    def sums(values: Values) -> list[str]:
        found = objects(values)
        return [
            one["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
            for (kind, _), one in found.items()
            if kind == "Deployment"
        ]

    assert not set(sums(plain())) & set(sums(plain(logLevel="debug")))


# ---------------------------------------------------------------------------------------------------------- arithmetic


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


def test_the_notes_tell_rate_slots_ceiling_and_grace() -> None:
    (notes,) = [text for name, text in _rendered(merged(CASES["least"])).items() if name.endswith("NOTES.txt")]
    assert "1 calls/s" in notes
    assert "2 at 1 s a call" in notes
    assert "2 of 8 threads" in notes
    assert "90 s for calls in flight, 120 s until" in notes


# -------------------------------------------------------------------------------------------------------------- alerts


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
