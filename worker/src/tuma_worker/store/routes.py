"""The routes as Redis knows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from tuma_producer.contract import routing
from tuma_producer.contract.keys import ROUTES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from redis import Redis


def register(redis: Redis, routes: Mapping[str, Mapping[str, Sequence[str]]]) -> None:
    """Make these routes known to producers, each as it is here. Others stay: whoever is configured with them registers them."""
    if routes:
        redis.hset(ROUTES, mapping={name: routing.published(accounts) for name, accounts in routes.items()})


def named(redis: Redis, name: str) -> routing.Route:
    """The route of this name. Raises `UnknownRoute`."""
    return routing.named(name, cast("dict[bytes, bytes]", redis.hgetall(ROUTES)))
