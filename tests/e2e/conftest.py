"""The command line as people use it, and houses to use it in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from redis import Redis
from tests.support import servers
from tests.support.houses import House, open_house
from tests.support.programs import Ran, Running, Tuma
from tests.support.sandbox import QUICK

from tuma_worker.store import accounts

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["QUICK", "House", "Ran", "Running", "Tuma", "account"]

SANDBOX_KEY = "sk_test_Sandbox0000000000000000000000000"
WRONG_KEY = "sk_test_Wrong000000000000000000000000000"


def account(base_url: str, **more: object) -> dict[str, object]:
    """The settings of an account at the sandbox."""
    plain = {"provider": "lisoloo", "base_url": f"{base_url}/lisoloo", "api_key": SANDBOX_KEY, "environment": "sandbox"}
    return {**plain, "sender_id": "KITOKO", "cold_start": "burst", **more}


@pytest.fixture(scope="module")
def server() -> Iterator[servers.Server]:
    started = servers.start()
    yield started
    started.stop()


@pytest.fixture
def redis(server: servers.Server) -> Iterator[Redis]:
    """A client of the server, which holds nothing yet."""
    client = Redis.from_url(server.url)
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def tuma(redis: Redis, server: servers.Server) -> Tuma:
    """The command line on a machine that knows Redis alone; some worker has made `lisoloo-main` known."""
    accounts.register(redis, "lisoloo-main", provider="lisoloo", environment="sandbox", queue="{}")
    return Tuma(TUMA_REDIS_URL=server.url)


@pytest.fixture(scope="module")
def house(server: servers.Server) -> Iterator[House]:
    """A house with the accounts `lisoloo-main` and `lisoloo-wrong`, whose key the provider does not know."""
    settings = {"lisoloo-main": {"provider": "lisoloo"}, "lisoloo-wrong": {"provider": "lisoloo", "api_key": WRONG_KEY}}
    with open_house(server, settings) as found:
        found.start("worker", "--threads", "2")
        yield found
