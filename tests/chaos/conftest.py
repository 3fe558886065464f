"""A server for each module of disasters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support import servers

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def server() -> Iterator[servers.Server]:
    """A server that nobody else uses."""
    started = servers.start()
    yield started
    started.stop()
