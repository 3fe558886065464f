"""A queue as operators look at it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.redis.driver import Driver, calls, messages, numbers, queue_of, text

from tuma_worker.store import accounts
from tuma_worker.store.line import look, operations

if TYPE_CHECKING:
    from redis import Redis


@pytest.mark.parametrize("profile", ["{}", '{"batch_max": 5}', '{"limits": [{"name": "calls-60s"}]}'])
def test_a_profile_that_another_release_wrote_is_looked_at_as_far_as_it_goes(redis: Redis, profile: str) -> None:
    driver = Driver(redis, queue_of(calls(10, 60)))
    driver.enqueue()
    redis.hset(driver.account.profile, "queue", profile)
    found = look(redis, driver.queue.account)
    assert [one.jobs for one in found.waiting] == [1]
    assert found.windows == ()


@pytest.mark.parametrize(("counts_segments", "seconds"), [(True, 30.0), (False, 10.0)])
def test_the_backlog_of_a_limit_of_messages_is_told_in_segments_where_the_provider_counts_those(
    redis: Redis, *, counts_segments: bool, seconds: float
) -> None:
    driver = Driver(redis, queue_of(messages(10, 10), batch_max=100, count_segments=counts_segments))
    driver.enqueue(*numbers(10), message=text(3))
    assert look(redis, driver.queue.account).backlog_seconds == seconds


def test_each_queue_of_an_account_is_looked_at_by_its_own_limits(redis: Redis) -> None:
    control = queue_of(calls(30, 60), operation="control")
    accounts.register(
        redis, control.account, provider="lisoloo", environment="sandbox", queue=queue_of(calls(60, 60)).for_claim,
        others={"control": control.for_claim},
    )  # fmt: skip
    assert operations(redis, control.account) == ["send", "control"]
    found = [look(redis, control.account, operation).windows[0].count for operation in ("send", "control")]
    assert found == [60, 30]
