"""What of the Gateway API's `HTTPRoute` (v1, standard channel) a chart may set to lead a path to a service.

No package of Python's carries its schema, so these are the rules of its reference, in our words: names, defaults and bounds of the
fields of HTTPRouteSpec, ParentReference, HTTPRouteMatch, HTTPPathMatch and HTTPBackendRef. Filters, timeouts, headers and
query parameters are left out: a chart that begins to use them fails here, until they are added.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
Subdomain = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=rf"^{_LABEL}(\.{_LABEL})*$")]
Group = Annotated[str, StringConstraints(max_length=253, pattern=rf"^$|^{_LABEL}(\.{_LABEL})*$")]
Hostname = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=rf"^(\*\.)?{_LABEL}(\.{_LABEL})*$")]
Namespace = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=f"^{_LABEL}$")]
Kind = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern="^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=253)]
Port = Annotated[int, Field(strict=True, ge=1, le=65_535)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class ParentReference(_Part):
    """What a route wants to be attached to: a Gateway, unless it says otherwise."""

    group: Group = "gateway.networking.k8s.io"
    kind: Kind = "Gateway"
    name: Name
    namespace: Namespace | None = None
    section_name: Subdomain | None = Field(default=None, alias="sectionName")
    port: Port | None = None


class PathMatch(_Part):
    """A path, or what it begins with: then whole, and none that leads elsewhere."""

    type: Literal["Exact", "PathPrefix", "RegularExpression"] = "PathPrefix"
    value: Annotated[str, StringConstraints(max_length=1024)] = "/"

    @model_validator(mode="after")
    def _is_absolute(self) -> Self:
        strange = [part for part in ("//", "/./", "/../", "%2f", "%2F", "#") if part in self.value]
        if self.type != "RegularExpression" and (strange or not self.value.startswith("/") or self.value.endswith(("/.", "/.."))):
            message = "value must be an absolute path"
            raise ValueError(message)
        return self


class Match(_Part):
    """Which requests a rule is about."""

    path: PathMatch = Field(default_factory=PathMatch)


class BackendReference(_Part):
    """Where they go: a Service, which needs a port, unless it says otherwise."""

    group: Group = ""
    kind: Kind = "Service"
    name: Name
    namespace: Namespace | None = None
    port: Port | None = None
    weight: Annotated[int, Field(strict=True, ge=0, le=1_000_000)] = 1

    @model_validator(mode="after")
    def _a_service_has_a_port(self) -> Self:
        if (self.group, self.kind, self.port) == ("", "Service", None):
            message = "port is required for a Service"
            raise ValueError(message)
        return self


class Rule(_Part):
    """Where some requests go."""

    name: Subdomain | None = None
    matches: Annotated[list[Match], Field(max_length=64)] = Field(default_factory=lambda: [Match()])
    backend_refs: list[BackendReference] = Field(default_factory=list, max_length=16, alias="backendRefs")


class Spec(_Part):
    """Whose requests, and where they go."""

    parent_refs: list[ParentReference] = Field(default_factory=list, max_length=32, alias="parentRefs")
    hostnames: Annotated[list[Hostname], Field(max_length=16)] = Field(default_factory=list)
    rules: Annotated[list[Rule], Field(min_length=1, max_length=16)]


class HTTPRoute(_Part):
    """A route. What the metadata of any object may be is Kubernetes' to say."""

    api_version: Literal["gateway.networking.k8s.io/v1"] = Field(alias="apiVersion")
    kind: Literal["HTTPRoute"]
    metadata: dict[str, Any]
    spec: Spec
