"""The chart and our own settings: each setting can be set, by the name and with the secret that it has, and is told of."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
import yaml
from tests.support.chart import CASES, CHART, Objects, Values, account, objects, pods

from tuma_worker import providers
from tuma_worker.core.limits import Counted
from tuma_worker.sandbox.settings import LINESERVE_TEST_KEY, LISOLOO_TEST_KEY, load
from tuma_worker.settings import Account, Settings
from tuma_worker.settings.problems import misnamed
from tuma_worker.settings.sources import REDIS_URL_FILE

if TYPE_CHECKING:
    from pathlib import Path


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
