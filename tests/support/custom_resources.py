"""The schemas of the custom resources that the chart renders, as packages ship them, or ours: nothing is fetched for a test."""

from __future__ import annotations

from typing import Any

from cloudcoil.models.keda.v1alpha1 import ScaledObject
from cloudcoil.models.prometheus_operator.v1 import PodMonitor, PrometheusRule
from tests.support.gateway_api import HTTPRoute

# They take what they do not know, and drop it.
_MODELS: dict[tuple[str, str], Any] = {
    ("keda.sh/v1alpha1", "ScaledObject"): ScaledObject,
    ("monitoring.coreos.com/v1", "PodMonitor"): PodMonitor,
    ("monitoring.coreos.com/v1", "PrometheusRule"): PrometheusRule,
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): HTTPRoute,
}
# KEDA has had it since 2.17; for older Pythons the package ends at 2.16.
_NEWER = {"ScaledObject": ("spec", "fallback", "behavior")}


def is_known(rendered: dict[str, Any]) -> bool:
    """Whether there is a schema for a resource of this kind."""
    return _key(rendered) in _MODELS


def strangers(rendered: dict[str, Any]) -> list[str]:
    """The paths in a resource that its schema has no name for. Raises `ValidationError` where a value is none that it allows."""
    model = _MODELS[_key(rendered)].model_validate(rendered)
    known = model.model_dump(by_alias=True, exclude_unset=True, mode="json")
    newer = ".".join(_NEWER.get(rendered["kind"], ()))
    return [path for path in _paths(rendered) - _paths(known) if path != newer]


def _key(rendered: dict[str, Any]) -> tuple[str, str]:
    return rendered["apiVersion"], rendered["kind"]


def _paths(value: Any, at: str = "") -> set[str]:  # noqa: ANN401 - a tree of YAML
    match value:
        case dict():
            return {path for name, inner in value.items() for path in _paths(inner, f"{at}.{name}" if at else name)}
        case list():
            return {path for index, inner in enumerate(value) for path in _paths(inner, f"{at}[{index}]")}
        case _:
            return {at}
