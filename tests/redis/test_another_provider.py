"""A provider that Tuma did not know is one folder, one line in the registry and one file that stands in for it; nothing else."""

from __future__ import annotations

import ast
import secrets
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr
from tests.contract import toy
from tests.contract.toy_sandbox import KEY, ToySandbox, toy_sandbox

import tuma_worker
from tuma_producer import Producer, Send
from tuma_worker import providers
from tuma_worker.bootstrap import configured, parts
from tuma_worker.queue.leases import Held
from tuma_worker.queue.scripts import Claim, claim
from tuma_worker.settings.model import Account, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

    from tuma_producer import Intent

NUMBERS = ["+243990000001", "+243990000002", "+243990000003"]


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[ToySandbox]:
    """The stand-in, and the line in the registry."""
    monkeypatch.setattr(providers, "PROVIDERS", MappingProxyType({**providers.PROVIDERS, "toy": toy.PROVIDER}))
    with toy_sandbox() as running:
        yield running


class House:
    """A service with one account at Toy, worked by hand."""

    def __init__(self, redis: Redis, redis_url: str, sandbox: ToySandbox) -> None:
        account = Account(provider="toy", base_url=sandbox.url, api_key=SecretStr(KEY), environment="sandbox", cold_start="burst")
        settings = Settings(redis_url=redis_url, accounts={"toy-main": account}, public_url="https://tuma.example")
        self.redis, self.service = redis, parts.build_service(settings)
        self.queue = configured.queue_config("toy-main", account)
        self.applier = parts.build_applier(redis, settings)
        self.producer = Producer(redis, source="test")

    def enqueue(self) -> str:
        return self.producer.enqueue(Send(account="toy-main", to=NUMBERS, message="Karibu")).id

    def work_off(self) -> None:
        while isinstance(found := claim(self.redis, self.queue, secrets.token_hex(8), "w1", last=False), Claim):
            self.service.sender.send(Held(self.queue, found, until=1.0, clock=lambda: 0.0))

    def tell(self, address: str, body: str) -> None:
        """What the gateway does with a webhook that it believes."""
        batch_id = address.rpartition("/")[2].partition(".")[0]
        self.redis.xadd(self.applier.boxes[0].inbox.keys.inbox, {"b": batch_id, "d": body})
        self.applier.drain("toy-main")

    def states(self, intent_id: str) -> list[str]:
        found: Intent = self.producer.get(intent_id)
        return [one.state for one in found.recipients]


@pytest.fixture
def house(redis: Redis, redis_url: str, sandbox: ToySandbox) -> Iterator[House]:
    found = House(redis, redis_url, sandbox)
    client = found.service.sender.outlets["toy-main"].client
    assert isinstance(client, toy.ToyClient)
    with client.http:
        yield found


def test_it_is_sent_through_within_its_limits_and_its_receipts_are_counted(house: House, sandbox: ToySandbox) -> None:
    intent_id = house.enqueue()
    house.work_off()
    assert [taken["to"] for taken in sandbox.taken] == [NUMBERS[:2], NUMBERS[2:]]
    assert house.states(intent_id) == ["submitted"] * 3
    house.tell(sandbox.taken[0]["tell"], f'{{"what": "arrived", "to": "{NUMBERS[0]}"}}')
    house.tell(sandbox.taken[1]["tell"], f'{{"what": "lost", "to": "{NUMBERS[2]}"}}')
    assert house.states(intent_id) == ["delivered", "submitted", "failed"]


def test_its_faults_halt_the_account_and_lose_nothing(house: House, sandbox: ToySandbox) -> None:
    sandbox.key = "another"
    intent_id = house.enqueue()
    house.work_off()
    assert sandbox.taken == []
    assert house.states(intent_id) == ["queued"] * 3
    assert any("401" in hold for hold in house.producer.get(intent_id).holds)


def test_no_other_room_knows_a_provider_by_its_name() -> None:
    root = Path(tuma_worker.__file__).parent
    rooms = {root / "providers" / name for name in providers.PROVIDERS} | {root / "sandbox", root / "cli" / "demo"}
    outside = [path for path in root.rglob("*.py") if not rooms & set(path.parents) and path != root / "providers" / "__init__.py"]
    assert outside
    assert {path: found for path in outside if (found := set(_named(path)))} == {}


def _named(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and node.value in providers.PROVIDERS:
            yield str(node.value)
        elif isinstance(node, ast.ImportFrom):
            yield from {*(node.module or "").split("."), *(name.name for name in node.names)} & providers.PROVIDERS.keys()
