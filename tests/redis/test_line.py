"""A queue as operators look at it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.redis.driver import Driver, calls, queue_of

from tuma_worker.store.line import look

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
