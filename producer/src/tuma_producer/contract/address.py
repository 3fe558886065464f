"""Where Redis is: the URLs that Tuma takes, for one server, for a cluster, and for a server that Sentinels watch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from redis.connection import parse_url

RULE = (
    "must begin with redis://, rediss:// or unix://, or for several servers with redis+cluster://, rediss+cluster://, "
    "redis+sentinel:// or rediss+sentinel://"
)
_OPTION_OF_SENTINELS = "sentinel_"
_PLACES = frozenset({"host", "port", "db", "path", "connection_class"})  # what a URL says outside its options


class Kind(StrEnum):
    """What stands behind a URL."""

    SERVER = "server"
    CLUSTER = "cluster"
    SENTINEL = "sentinel"


_SCHEMES = {
    "redis": Kind.SERVER,
    "rediss": Kind.SERVER,
    "unix": Kind.SERVER,
    "redis+cluster": Kind.CLUSTER,
    "rediss+cluster": Kind.CLUSTER,
    "redis+sentinel": Kind.SENTINEL,
    "rediss+sentinel": Kind.SENTINEL,
}
_PORTS = {Kind.CLUSTER: 6379, Kind.SENTINEL: 26379}

Node = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Address:
    """A URL taken apart.

    For one server the URL itself is redis-py's to read, and `nodes` is empty. `nodes` are some of a cluster's servers, or the
    Sentinels; `service` is the name under which these know the server, and `db` its database. `options` go to the servers,
    `sentinel_options` to the Sentinels.
    """

    kind: Kind
    url: str
    nodes: tuple[Node, ...] = ()
    service: str = ""
    db: int = 0
    options: dict[str, Any] | None = None
    sentinel_options: dict[str, Any] | None = None

    @property
    def where(self) -> str:
        """The servers that the URL names, as they may be shown."""
        nodes = nodes_shown(self.nodes)
        return f"{self.service} (Sentinels: {nodes})" if self.service else nodes


def nodes_shown(nodes: tuple[Node, ...]) -> str:
    """A list of servers, for an error."""
    return ",".join(f"{host}:{port}" for host, port in nodes)


def parse(url: str) -> Address:
    """Take a URL apart. Raises `ValueError` that says the rule it breaks and repeats nothing of it that may be a secret."""
    scheme, _, rest = url.partition("://")
    kind = _SCHEMES.get(scheme)
    if kind is None or "://" not in url:
        raise ValueError(RULE)
    if kind is Kind.SERVER:
        _read(url)
        return Address(kind, url)
    parts = urlsplit(f"//{rest}")
    nodes = _nodes(parts, _PORTS[kind])
    service, db = _service(parts.path) if kind is Kind.SENTINEL else _no_database(parts.path)
    options = _options(scheme.partition("+")[0], parts)
    special = {name: value for name, value in options.items() if name.startswith(_OPTION_OF_SENTINELS)}
    return Address(
        kind=kind,
        url=url,
        nodes=nodes,
        service=service,
        db=db,
        options={name: value for name, value in options.items() if name not in special},
        sentinel_options={name.removeprefix(_OPTION_OF_SENTINELS): value for name, value in special.items()},
    )


def _nodes(parts: SplitResult, port: int) -> tuple[Node, ...]:
    return tuple(_node(one, port) for one in parts.netloc.rpartition("@")[2].split(","))


def _node(text: str, default_port: int) -> Node:
    place = urlsplit(f"//{text}")
    try:
        host, port = place.hostname, place.port
    except ValueError:
        message = "must name each server as host:port, with a number for the port"
        raise ValueError(message) from None
    if not host:
        message = "must name at least one server as host:port, and several with commas between them"
        raise ValueError(message)
    return host, default_port if port is None else port


def _service(path: str) -> tuple[str, int]:
    service, _, db = path.strip("/").partition("/")
    if not service or not (db or "0").isascii() or not (db or "0").isdigit():
        message = "must name the service that the Sentinels watch, and a database by number if any, as in .../service/0"
        raise ValueError(message)
    return unquote(service), int(db or 0)


def _no_database(path: str) -> tuple[str, int]:
    if path.strip("/") not in {"", "0"}:
        message = "must not name a database: a cluster has only database 0"
        raise ValueError(message)
    return "", 0


def _options(scheme: str, parts: SplitResult) -> dict[str, Any]:
    """User, password and options, read as redis-py reads those of one server."""
    user, at, _ = parts.netloc.rpartition("@")
    found = _read(f"{scheme}://{user}{at}server?{parts.query}")
    secure = {"ssl": True} if scheme == "rediss" else {}
    return {name: value for name, value in found.items() if name not in _PLACES} | secure


def _read(url: str) -> dict[str, Any]:
    try:
        urlsplit(url).port  # noqa: B018 - it raises where the port is no number
    except ValueError:
        message = "must have a number for its port"
        raise ValueError(message) from None
    try:
        options: dict[str, Any] = parse_url(url)  # type: ignore[no-untyped-call] # redis-py has no types here
    except ValueError as error:
        message = f"has an option that is no good: {error}"  # redis-py names the option and keeps its value to itself
        raise ValueError(message) from None
    return options
