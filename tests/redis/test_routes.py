"""Routes as workers publish them and both producers use them, on a real server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.producers import configure, jobs, texts

from tuma_producer import InvalidSend, UnknownRoute
from tuma_producer.contract.keys import ROUTES
from tuma_worker.bootstrap import configured
from tuma_worker.settings import Settings

if TYPE_CHECKING:
    from redis import Redis
    from tests.support.producers import AnyProducer

CONGO, KENYA = ["lisoloo-main", "lisoloo-spare"], ["lineserve-main"]


def register(redis: Redis, **routes: Any) -> None:  # noqa: ANN401 - routes as they are set
    """Start a worker that is configured with these routes, as far as that matters here."""
    configured.register_accounts(redis, Settings(routes=routes))


def test_the_sends_of_a_route_are_enqueued_by_the_caller_and_not_before(producer: AnyProducer, redis: Redis) -> None:
    configure(redis, *CONGO, *KENYA)
    register(redis, everybody={"+243": CONGO, "*": KENYA})
    sends = producer.route(
        "everybody", to=["+254700000001", "+243990000001", "+243990000002"], message="Hello", idempotency_key="k"
    )
    assert [jobs(redis, account) for account in (*CONGO, *KENYA)] == [[], [], []]
    first, second = producer.enqueue_many(sends)
    assert (first.id.rpartition(".")[0], first.recipients, second.id.rpartition(".")[0], second.recipients) == (
        "lineserve-main", 1, "lisoloo-main", 2,
    )  # fmt: skip
    assert producer.get(second.id).failover == ("lisoloo-spare",)
    again = producer.route(
        "everybody", to=["+254700000001", "+243990000001", "+243990000002"], message="Hello", idempotency_key="k"
    )
    assert [(one.id, one.duplicate) for one in producer.enqueue_many(again)] == [(first.id, True), (second.id, True)]


def test_an_unknown_route_is_refused_with_the_names_of_the_known_ones(producer: AnyProducer, redis: Redis) -> None:
    with pytest.raises(UnknownRoute, match="none yet; start a worker"):
        producer.route("everybody", to="+243990000001", message="Hello")
    register(redis, kenya={"+254": KENYA}, congo={"+243": CONGO})
    with pytest.raises(UnknownRoute, match=r"^route: 'everybody' is not configured \(known: congo, kenya\)$") as raised:
        producer.route("everybody", to="+243990000001", message="Hello")
    assert raised.value.route == "everybody"


def test_a_number_that_fits_no_prefix_is_refused(producer: AnyProducer, redis: Redis) -> None:
    register(redis, kenya={"+254": KENYA})
    with pytest.raises(InvalidSend, match=r"^to: entry 0: \+243…01 begins with no prefix of route 'kenya' \(\+254\)"):
        producer.route("kenya", to="+243990000001", message="Hello")


def test_who_registers_last_says_how_a_route_is_and_leaves_those_of_others(redis: Redis) -> None:
    register(redis, congo={"+243": CONGO}, kenya={"+254": KENYA})
    register(redis, congo={"*": CONGO})
    register(redis)
    found = {name: json.loads(route) for name, route in texts(redis.hgetall(ROUTES)).items()}
    assert found == {"congo": {"*": CONGO}, "kenya": {"+254": KENYA}}
