"""What every floor of tests needs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from redis import Redis
from tests.support import servers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.servers import Server


# How long an example takes is the machine's doing and no failure; what hangs is ended from outside.
settings.register_profile("tuma", deadline=None)
settings.load_profile("tuma")


@pytest.fixture(autouse=True)
def _without_the_developers_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the machine's TUMA_ variables from tests and from the programs that they start; TUMA_TEST_ ones are meant for tests."""
    for variable in [name for name in os.environ if name.startswith("TUMA_") and not name.startswith("TUMA_TEST_")]:
        monkeypatch.delenv(variable)


@pytest.fixture(scope="session", params=list(servers.binaries()) or ["none"])
def redis_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A real server for the whole session, one of each kind that can be started here."""
    server = servers.start(request.param)
    yield server
    server.stop()


@pytest.fixture
def redis_url(redis_server: Server) -> str:
    """The address of a server that holds nothing yet, if the test asks for `redis` as well."""
    return redis_server.url


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    """A client of an empty server; it gives bytes."""
    client = Redis.from_url(redis_url)
    client.flushall()
    yield client
    client.close()
