"""Values of which something would go wrong are refused by their names, before anything is installed, by both Helms."""

from __future__ import annotations

import helm_python as helm
import pytest
from tests.support import helm3
from tests.support.chart import CHART, Values, account, objects, plain, way_in, workers

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


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_go_wrong_is_refused_by_its_name(case: str) -> None:
    values, message = REFUSED[case]
    with pytest.raises(helm.HelmError, match=message):
        objects(values)


@pytest.mark.parametrize("case", REFUSED)
def test_helm_3_refuses_what_helm_4_does(case: str) -> None:
    values, message = REFUSED[case]
    if case == "a name that is none":
        message = "accounts: Property name"  # each has its own words where the schema refuses
    with pytest.raises(helm3.Refused, match=message):
        helm3.render(CHART, values, name="rel", namespace="ns")
