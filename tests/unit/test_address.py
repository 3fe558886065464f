"""The URLs of Redis: what is taken, how it is understood, and what is refused without a secret being repeated."""

from __future__ import annotations

from typing import Any

import pytest

from tuma_producer import TumaError
from tuma_producer.contract.address import Kind, parse
from tuma_producer.contract.connection import connect, shown
from tuma_worker.settings import Settings, masked


@pytest.mark.parametrize(
    "url", ["redis://cache:6379/0", "rediss://user:pw@cache/1?ssl_cert_reqs=none", "unix:///run/redis.sock?db=2", "redis://"]
)
def test_the_url_of_one_server_is_left_to_redis_py(url: str) -> None:
    assert (parse(url).kind, parse(url).url) == (Kind.SERVER, url)


@pytest.mark.parametrize(
    ("url", "nodes", "options"),
    [
        ("redis+cluster://a", [("a", 6379)], {}),
        ("redis+cluster://a:7000,b:7001,c/0", [("a", 7000), ("b", 7001), ("c", 6379)], {}),
        ("redis+cluster://me:s%40cret@a:1,b:2/", [("a", 1), ("b", 2)], {"username": "me", "password": "s@cret"}),
        ("rediss+cluster://:pw@[::1]:7000?socket_timeout=3", [("::1", 7000)], {"password": "pw", "ssl": True, "socket_timeout": 3}),
    ],
)
def test_a_cluster_is_some_of_its_nodes(url: str, nodes: list[tuple[str, int]], options: dict[str, Any]) -> None:
    found = parse(url)
    assert (found.kind, found.service, found.db) == (Kind.CLUSTER, "", 0)
    assert (list(found.nodes), found.options) == (nodes, options)


def test_a_watched_server_is_its_sentinels_its_name_and_perhaps_a_database() -> None:
    found = parse("rediss+sentinel://me:pw@a:26380,b/main/3?sentinel_password=other&ssl_ca_certs=/ca.pem")
    assert (found.kind, found.nodes, found.service, found.db) == (Kind.SENTINEL, (("a", 26380), ("b", 26379)), "main", 3)
    assert found.options == {"username": "me", "password": "pw", "ssl": True, "ssl_ca_certs": "/ca.pem"}
    assert found.sentinel_options == {"password": "other"}
    assert parse("redis+sentinel://a/main").db == 0


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("cache:6379", "must begin with"),
        ("http://me:hunter2@a", "must begin with"),
        ("redis+galaxy://me:hunter2@a", "must begin with"),
        ("unix+cluster://me:hunter2@a", "must begin with"),
        ("redis://me:hunter2@a:many", "a number for its port"),
        ("redis+cluster://me:hunter2@a:many", "a number for the port"),
        ("redis+cluster://me:hunter2@a:1,,b:2", "at least one server"),
        ("redis+cluster://me:hunter2@", "at least one server"),
        ("redis+cluster://me:hunter2@a:1/1", "only database 0"),
        ("redis+sentinel://me:hunter2@a:1", "the service"),
        ("redis+sentinel://me:hunter2@a:1/main/x", "the service"),
        ("redis+cluster://a:1?socket_timeout=hunter2", "'socket_timeout'"),
        ("redis+cluster://me:hun/ter2@a:1", "must"),
        ("redis+cluster://me:hun?ter2@a:1", "must"),
    ],
)
def test_any_other_url_is_refused_with_the_rule_and_without_the_secret(url: str, rule: str) -> None:
    with pytest.raises(TumaError, match="TUMA_REDIS_URL") as caught:
        connect(url)
    assert rule in str(caught.value)
    assert "ter2" not in str(caught.value)
    assert "hun" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis+sentinel://me:pw@a:1,b:2/main/0?sentinel_password=other", "redis+sentinel://…@a:1,b:2/main/0"),
        ("redis+cluster://a:1,b:2", "redis+cluster://a:1,b:2"),
    ],
)
def test_a_url_is_shown_as_its_places_alone(url: str, place: str) -> None:
    assert shown(url) == place


def test_the_settings_take_the_same_urls_and_show_no_password_of_any_of_them() -> None:
    url = "rediss+sentinel://me:hunter2@a:1,b:2/main/0?sentinel_password=hunter3&ssl_password=hunter4"
    shown_url = masked(Settings(redis_url=url))["redis_url"]
    assert "hunter" not in shown_url
    assert "a:1,b:2/main/0" in shown_url
