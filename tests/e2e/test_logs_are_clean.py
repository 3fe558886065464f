"""What the processes write down on good and bad days, at the chattiest level: JSON lines without a secret, number or text."""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from tests.support import servers
from tests.support.houses import key_of, open_house
from tests.support.programs import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.houses import Settings

TEXT = "Zanzibar quokka 7193"
NUMBER, OTHER, REFUSED = "+243991357246", "+243991357247", "+243991999909"
PASSWORD = "invented-webhook-password"
WRONG_KEY = "sk_test_WrongButDistinctive"
HASTY: Settings = {"resolve_after": 1, "lease": 2}
ACCOUNTS: dict[str, Settings] = {
    "lisoloo": {"provider": "lisoloo", "webhook_username": "webhooks", "webhook_password": PASSWORD, **HASTY},
    "lineserve": {"provider": "lineserve", **HASTY},
    "wrong": {"provider": "lisoloo", "api_key": WRONG_KEY, **HASTY},
}


@dataclass(frozen=True)
class Said:
    """All lines of both processes and of their metrics, what must not stand in them, and the intents that were sent."""

    worker: list[str]
    gateway: list[str]
    metrics: list[str]
    secrets: dict[str, str]
    intents: list[str]

    @property
    def lines(self) -> list[str]:
        return [*self.worker, *self.gateway]

    def events(self, name: str) -> list[dict[str, Any]]:
        """The worker's lines of one kind."""
        found = [json.loads(line) for line in self.worker]
        return [line for line in found if line.get("event") == name]


@pytest.fixture(scope="module")
def said() -> Iterator[Said]:
    """A good day and many bad ones, to the end of the processes."""
    server = servers.start()
    ports = {name: str(servers.closed_port()) for name in ("TUMA_METRICS_PORT", "TUMA_GATEWAY_METRICS_PORT")}
    config = {"lisoloo": {"webhook": {"username": "webhooks", "password": PASSWORD}}}
    try:
        with open_house(server, ACCOUNTS, config=config, TUMA_LOG_LEVEL="debug", **ports) as house:
            gateway, worker = house.running[0], house.worker()
            good = [house.send(account, NUMBER, OTHER, message=TEXT) for account in ("lisoloo", "lineserve")]
            refused = [house.send(account, REFUSED, message=TEXT) for account in ("lisoloo", "lineserve")]
            house.send("wrong", NUMBER, message=TEXT)
            house.until_halted("wrong")
            for intent_id in good + refused:
                house.done(intent_id)
            house.sandbox.arm("html_200", to=[NUMBER], receipts="none")
            house.done(house.send("lisoloo", NUMBER, message=TEXT))
            call = house.sandbox.calls("lisoloo")[0]
            told = {"event_type": "sms.delivered", "message_id": "x", "data": {"recipient_phone": NUMBER, "text": TEXT}}
            for address in (call["callback_url"], f"{house.gateway_url}/receipts/lisoloo", f"{house.gateway_url}/receipts/nobody"):
                for content in (json.dumps(told).encode(), json.dumps({"data": told["data"]}).encode(), TEXT.encode()):
                    httpx.post(address, content=content, auth=("webhooks", PASSWORD), timeout=PATIENCE)
            with house.sandbox.configured(latency_ms=500):
                house.send("lineserve", NUMBER, message=TEXT + "!")
                house.sandbox.until(lambda books: any(one["message"] == TEXT + "!" for one in books["accepted"]))
                server.stop()
                worker.until("no usable Redis")
            httpx.post(call["callback_url"], content=json.dumps(told).encode(), timeout=PATIENCE)
            shown = [httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE).text for port in ports.values()]
            assert gateway.end(signal.SIGTERM) == 0
            worker.kill()  # it would wait for Redis as long as it is allowed to: its answer is not written down
            yield Said(
                worker=worker.said,
                gateway=gateway.said,
                metrics=[line for text in shown for line in text.splitlines()],
                secrets={
                    "text": "quokka",
                    "number": NUMBER.removeprefix("+243"),
                    "other number": OTHER.removeprefix("+243"),
                    "refused number": REFUSED.removeprefix("+243"),
                    "key of lisoloo": key_of("lisoloo"),
                    "key of lineserve": key_of("lineserve"),
                    "wrong key": WRONG_KEY,
                    "password": PASSWORD,
                    "token of a call's own address": call["callback_url"].rpartition(".")[2],
                },
                intents=good,
            )
    finally:
        server.stop()


def test_no_secret_number_or_text_is_in_any_line(said: Said) -> None:
    lines = [*said.lines, *said.metrics]
    found = {what: line for what, secret in said.secrets.items() for line in lines if secret in line}
    assert found == {}


def test_the_metrics_that_were_searched_are_those_of_both(said: Said) -> None:
    assert {"tuma_calls_total", "tuma_receipts_total"} <= {line.partition("{")[0] for line in said.metrics}


def test_every_line_is_a_json_object_with_level_time_and_event(said: Said) -> None:
    assert len(said.worker) > 10
    assert len(said.gateway) > 10
    for line in said.lines:
        assert {"event", "level", "timestamp"} <= json.loads(line).keys(), line


def test_the_lines_of_a_delivery_say_which_batch_and_which_intents(said: Said) -> None:
    attempted = said.events("delivery.settled")
    short = {intent_id.rpartition(".")[2] for intent_id in said.intents}
    assert short <= {intent for line in attempted for intent in line["intents"]}
    assert all(line["batch"] and line["account"] in ACCOUNTS for line in attempted)


def test_a_halt_and_an_outage_are_said(said: Said) -> None:
    (halted,) = said.events("account.halted")
    assert (halted["level"], halted["account"], halted["fault"]) == ("error", "wrong", "key")
    assert any(line["reason"] == "no usable Redis" for line in said.events("delivery.deferred"))
    assert any("no usable Redis" in line and "receipt.refused" in line for line in said.gateway)
