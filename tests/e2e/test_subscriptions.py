"""Events told over HTTP by real workers, and the commands that say to whom."""

from __future__ import annotations

import itertools
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.houses import open_house
from tests.support.programs import PATIENCE
from tests.support.subscriber import Subscriber, open_subscriber

from tuma_worker.store.subscriptions import Subscriptions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.conftest import Tuma
    from tests.support.houses import House
    from tests.support.servers import Server

ROAD = ["accepted", "sending", "submitted", "sent", "delivered", "done"]


@pytest.fixture(scope="module")
def house(server: Server) -> Iterator[House]:
    accounts = {name: {"provider": "lisoloo"} for name in ("lisoloo-main", "mortal")}
    with open_house(server, accounts, TUMA_PUSH_NETWORKS="127.0.0.0/8") as found:
        yield found


@pytest.fixture
def subscriber() -> Iterator[Subscriber]:
    with open_subscriber() as found:
        yield found


class Listening:
    """Waits until a subscriber has been asked about an event of some kind."""

    def __init__(self, subscriber: Subscriber) -> None:
        self._heard = threading.Condition()
        self._subscriber = subscriber
        subscriber.answers = self._answer

    def _answer(self, _event: dict[str, Any]) -> tuple[int, dict[str, str]]:
        with self._heard:
            self._heard.notify_all()
        return 200, {}

    def until(self, kind: str) -> None:
        with self._heard:
            assert self._heard.wait_for(lambda: any(one["type"] == f"tuma.{kind}" for one in self._subscriber.taken), PATIENCE)
