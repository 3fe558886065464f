"""Tracing a call in Lineserve's books, against the sandbox: what was accepted is found, and what was not is proven absent."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from tuma_producer.contract.rendered import Kept
from tuma_worker.core.answers import Traced, Unknown, Untold
from tuma_worker.providers import PROVIDERS
from tuma_worker.providers.base import Call
from tuma_worker.providers.http import Http
from tuma_worker.providers.lineserve.history import traced_campaign
from tuma_worker.settings import Account

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.contract.conftest import Sandbox

    from tuma_worker.core.answers import Trace
    from tuma_worker.providers.base import Client

KEY = "lineserve-sandbox-key"
NUMBERS = ("+254790000001", "+254790000002")


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[Client]:
    account = Account(provider="lineserve", base_url=f"{sandbox.url}/lineserve/v1", api_key=SecretStr(KEY), timeout=5)
    with Http(2) as http:
        yield PROVIDERS["lineserve"].client(account, http)


def call(*numbers: str, message: str = "hello", reference: str = "batch-1") -> Call:
    return Call(numbers=numbers, message=message, sender_id="TUMA", reference=reference)


def seen(trace: Trace) -> Trace:
    """What the books say, whatever is left of the limits."""
    return replace(trace, quotas=())


@pytest.mark.parametrize("numbers", [NUMBERS[:1], NUMBERS], ids=["a single message", "a campaign"])
def test_a_call_that_was_accepted_without_an_answer_is_found(sandbox: Sandbox, client: Client, numbers: tuple[str, ...]) -> None:
    sandbox.arm("accept_then_reset")
    begun = time.time()
    assert isinstance(client.send(call(*numbers)).answer, Unknown)
    trace = client.trace(call(*numbers), begun)
    assert isinstance(trace, Traced)
    (accepted,) = sandbox.ledger()["accepted"]
    if len(numbers) > 1:
        assert [found.provider_id for found in trace.found] == [accepted["provider_id"]]
    else:
        assert len(trace.found) == 1


@pytest.mark.parametrize("numbers", [NUMBERS[:1], NUMBERS], ids=["a single message", "a campaign"])
def test_a_call_that_never_arrived_is_proven_absent(sandbox: Sandbox, client: Client, numbers: tuple[str, ...]) -> None:
    sandbox.arm("reset_before_reading")
    begun = time.time()
    assert isinstance(client.send(call(*numbers)).answer, Unknown)
    assert seen(client.trace(call(*numbers), begun)) == Traced((), complete=True)


def test_a_campaign_is_proven_absent_only_by_a_list_that_reaches_back_to_before_its_call() -> None:
    newer = {"campaign_name": "another", "campaign_id": "c2", "created_at": "2030-01-01T12:00:10Z"}
    older = newer | {"campaign_id": "c1", "created_at": "2030-01-01T11:59:00Z"}
    since = datetime(2030, 1, 1, 12, tzinfo=UTC).timestamp()
    lists = [[], [newer], [newer] * 10, [newer, older]]
    found = [traced_campaign({"campaigns": listed}, call(*NUMBERS), since) for listed in lists]
    assert [trace.complete for trace in found] == [True, False, False, True]
    assert not any(trace.found for trace in found)


def test_another_text_to_the_same_number_is_not_taken_for_it(client: Client) -> None:
    begun = time.time()
    client.send(call(NUMBERS[0], message="another"))
    assert seen(client.trace(call(NUMBERS[0]), begun)) == Traced((), complete=True)


def test_what_a_template_came_to_is_found_by_our_text_and_any_other_text_proves_no_absence(client: Client) -> None:
    begun, own = time.time(), replace(call(NUMBERS[0]), template=Kept("tpl_1", {}))
    assert seen(client.trace(own, begun)) == Traced((), complete=True)
    client.send(call(NUMBERS[0], message="another"))
    assert seen(client.trace(own, begun)) == Traced((), complete=False)
    client.send(call(NUMBERS[0]))
    trace = client.trace(own, begun)
    assert isinstance(trace, Traced)
    assert len(trace.found) == 1


def test_books_that_cannot_be_read_tell_nothing(sandbox: Sandbox, client: Client) -> None:
    sandbox.arm("html_200", operation="history")
    assert seen(client.trace(call(NUMBERS[0]), time.time())) in {Untold("unreadable-books"), Traced((), complete=False)}
