"""All of Tuma for a test: sandbox, gateway and workers, each a real process, and what a test wants to ask of them."""

from __future__ import annotations

import itertools
import json
import secrets
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from tests.support import servers
from tests.support.programs import PATIENCE, Tuma
from tests.support.sandbox import QUICK, Sandbox

from tuma_producer import Producer, Send
from tuma_producer.contract.connection import connect
from tuma_producer.contract.keys import AccountKeys

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from redis import Redis
    from tests.support.programs import Running

    from tuma_producer import Event, Intent

Settings = dict[str, Any]
_PATHS = {"lisoloo": "/lisoloo", "lineserve": "/lineserve/v1"}
_COMMON = {"environment": "sandbox", "sender_id": "KITOKO", "cold_start": "burst"}


class HasUrl(Protocol):
    """A server, or several that are one store."""

    @property
    def url(self) -> str:
        """Where Tuma connects to."""


def key_of(account: str) -> str:
    """The key that the sandbox gave this account."""
    return f"sk_test_{account}"


@dataclass
class House:
    """What runs, and the ways in. `tuma` is the command line with the environment that all of it shares."""

    tuma: Tuma
    sandbox: Sandbox
    gateway_url: str
    redis: Redis
    producer: Producer
    running: list[Running] = field(default_factory=list)
    gateway: Running = field(init=False)
    _texts: Iterator[int] = field(default_factory=itertools.count)

    def start(self, *arguments: str, **environment: str) -> Running:
        """Start a further process; it ends with the house."""
        started = self.tuma.start(*arguments, **environment)
        self.running.append(started)
        return started

    def kill(self) -> None:
        """End at once whatever the test has started."""
        for one in self.running:
            one.kill()

    def worker(self, *accounts: str, threads: int = 4, **environment: str) -> Running:
        """Start a worker for these accounts, or for all, and wait until it takes jobs."""
        queues = [word for name in accounts for word in ("--queues", f"{name}.send")]
        started = self.start("worker", "--threads", str(threads), *queues, **environment)
        started.until("ready for action")
        return started

    def open_gateway(self) -> None:
        """Start a gateway at its address, and wait until it takes receipts."""
        self.gateway = self.start("gateway", "--port", self.gateway_url.rpartition(":")[2])
        self.gateway.until("gateway.started")

    def last_words(self) -> list[str]:
        """What the processes said last, for the message of a test that fails."""
        return [line for one in self.running for line in one.said[-5:]]

    def lines(self, *words: str) -> list[str]:
        """What the processes have said so far with all of these words in one line."""
        return [line for one in self.running for line in one.said if all(word in line for word in words)]

    def send(self, account: str, *to: str, **more: Any) -> str:  # noqa: ANN401 - the fields of Send
        """Send a text that nobody else sends, unless one is given, and return the intent's id."""
        text = f"text {next(self._texts)}"
        return self.producer.enqueue(Send(**{"account": account, "to": list(to), "message": text, **more})).id

    def until(self, intent_id: str, kind: str) -> list[Event]:
        """The intent's events up to the first `tuma.<kind>`, once that is there."""
        found = []
        for event in self.account_events(intent_id.rpartition(".")[0]):
            if event.intent == intent_id:
                found.append(event)
                if event.type == f"tuma.{kind}":
                    return found
        raise AssertionError(([event.type for event in found], self.last_words()))

    def until_events(self, intent_id: str, kind: str, count: int) -> None:
        """Wait until so many of the intent's events are `tuma.<kind>`."""
        found = 0
        for event in self.account_events(intent_id.rpartition(".")[0]):
            found += event.intent == intent_id and event.type == f"tuma.{kind}"
            if found == count:
                return
        raise AssertionError((kind, found, self.last_words()))

    def account_events(self, account: str) -> Iterator[Event]:
        """Every event of an account from its first, for as long as more come."""
        return self.producer.outcomes(secrets.token_hex(4), accounts=[account], all_sources=True, wait=PATIENCE)

    def halts(self, account: str) -> int:
        """How often the account has been halted so far."""
        raw: Any = self.redis.xrange(AccountKeys(account).events)
        return sum(fields[b"e"] == b"halted" for _, fields in raw)

    def until_halted(self, account: str, *, before: int = 0) -> None:
        """Wait until the account has been halted more than `before` times."""
        halted = (event for event in self.account_events(account) if event.type == "tuma.account.halted")
        assert len(list(itertools.islice(halted, before + 1))) == before + 1

    def done(self, intent_id: str) -> Intent:
        """The intent, once all of it has ended."""
        self.until(intent_id, "intent.done")
        return self.producer.get(intent_id)

    def all_done(self, intent_ids: Sequence[str]) -> None:
        """Wait until all of these intents, of one account, have ended."""
        waiting = set(intent_ids)
        for event in self.account_events(intent_ids[0].rpartition(".")[0]):
            if event.type == "tuma.intent.done" and event.intent in waiting:
                waiting.remove(event.intent)
                if not waiting:
                    return
        raise AssertionError((waiting, self.last_words()))

    def story(self, intent_id: str) -> list[str]:
        """The last word of each of the intent's events until it was done. That none of them is missing or doubled is held here."""
        events = self.until(intent_id, "intent.done")
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        return [event.type.rpartition(".")[2] for event in events]

    def copies(self, account: str) -> dict[tuple[str, str], int]:
        """How often the provider took each text for each number."""
        copies: dict[tuple[str, str], int] = {}
        for call in self.sandbox.calls(account):
            for number in call["recipients"]:
                copies[call["message"], number] = copies.get((call["message"], number), 0) + 1
        return copies


@contextmanager
def open_house(
    server: HasUrl, accounts: Mapping[str, Settings], *, config: Settings | None = None, **environment: str
) -> Iterator[House]:
    """Start a sandbox and a gateway for these accounts; workers are the test's to start. All of it ends with the `with` block.

    An account's settings need to name no more than its provider. `config` is the sandbox's, beside quick steps and the keys.
    """
    with ExitStack() as stack:
        sandbox_process = Tuma().start("sandbox", "--port", "0", "--config", json.dumps(_config(accounts, config or {})))
        stack.callback(sandbox_process.kill)
        sandbox = Sandbox(sandbox_process.until("listening").split()[-1])
        stack.callback(sandbox.close)
        port = servers.closed_port()
        tuma = Tuma(
            TUMA_REDIS_URL=server.url,
            TUMA_PUBLIC_URL=f"http://127.0.0.1:{port}",
            TUMA_LOG_FORMAT="json",
            TUMA_ACCOUNTS=json.dumps({name: _account(sandbox.url, name, own) for name, own in accounts.items()}),
            **environment,
        )
        redis = connect(server.url)
        stack.callback(redis.close)
        producer = Producer.from_url(server.url, source="test")
        stack.callback(producer.close)
        house = House(tuma, sandbox, f"http://127.0.0.1:{port}", redis, producer)
        stack.callback(house.kill)
        house.open_gateway()
        yield house


def _account(sandbox_url: str, name: str, own: Settings) -> Settings:
    return {**_COMMON, "base_url": sandbox_url + _PATHS[own["provider"]], "api_key": key_of(name), **own}


def _config(accounts: Mapping[str, Settings], config: Settings) -> Settings:
    """The sandbox's settings: a key for each account that names none, labelled with the account's name."""
    providers = {provider: dict(config.get(provider, {})) for provider in _PATHS}
    for name, own in accounts.items():
        if "api_key" not in own:
            providers[own["provider"]].setdefault("keys", {})[key_of(name)] = {"label": name}
    return {**QUICK, **config, **{provider: own for provider, own in providers.items() if own}}
