"""An operation that is not done says why, and whether anything was: every provider's against its stand-in."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from functools import partial
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr
from tests.contract.stage import Stage, set_stage

from tuma_producer.errors import TumaError
from tuma_worker.core.answers import AccountFault, Fault, TryLater, Unknown
from tuma_worker.providers import PROVIDERS
from tuma_worker.providers.http import Http
from tuma_worker.providers.operations import NotDone, Page, each

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.contract.conftest import Receiver, Sandbox


@pytest.fixture
def stage_of(sandbox: Sandbox, receiver: Receiver) -> Iterator[Callable[..., Stage]]:
    with Http() as http:
        yield partial(set_stage, sandbox, receiver, http)


def some_read(provider: str) -> str:
    """An operation that reads, and needs nothing."""
    return {"lisoloo": "balance", "lineserve": "campaigns"}[provider]


@pytest.mark.parametrize("provider", sorted(PROVIDERS))
def test_a_refused_key_is_a_fault_of_the_account(stage_of: Callable[..., Stage], provider: str) -> None:
    stage = stage_of(provider, api_key=SecretStr("sk_test_unknown"))
    with pytest.raises(NotDone, match=r"refuses the account \(key\)") as refused:
        consume(stage.do(some_read(provider)))
    assert isinstance(refused.value.refusal.answer, AccountFault)
    assert (refused.value.refusal.answer.fault, refused.value.refusal.status) == (Fault.KEY, 401)


@pytest.mark.parametrize("provider", sorted(PROVIDERS))
def test_a_rate_limit_says_for_how_long(stage_of: Callable[..., Stage], sandbox: Sandbox, provider: str) -> None:
    operation = some_read(provider)
    sandbox.arm("rate_limit", provider=provider, operation=operation, retry_after=7)
    with pytest.raises(NotDone, match="nothing was done") as limited:
        consume(stage_of(provider).do(operation))
    assert isinstance(limited.value.refusal.answer, TryLater)
    assert limited.value.refusal.answer.scope == "account"


@pytest.mark.parametrize("provider", sorted(PROVIDERS))
def test_an_answer_that_never_comes_leaves_it_unknown(stage_of: Callable[..., Stage], sandbox: Sandbox, provider: str) -> None:
    operation = some_read(provider)
    sandbox.arm("reset_after_reading", provider=provider, operation=operation)
    with pytest.raises(NotDone, match="nobody knows whether it was done") as lost:
        consume(stage_of(provider).do(operation))
    assert isinstance(lost.value.refusal.answer, Unknown)


@pytest.mark.parametrize("provider", sorted(PROVIDERS))
def test_json_of_another_shape_leaves_every_field_open(stage_of: Callable[..., Stage], sandbox: Sandbox, provider: str) -> None:
    operation = some_read(provider)
    sandbox.arm("wrong_json", provider=provider, operation=operation)
    found = stage_of(provider).do(operation)
    if is_dataclass(found):
        assert {getattr(found, field.name) for field in fields(found)} == {None}
    else:
        assert list(each(found)) == []


@pytest.mark.parametrize("provider", sorted(PROVIDERS))
def test_an_id_that_leads_elsewhere_makes_no_request(stage_of: Callable[..., Stage], sandbox: Sandbox, provider: str) -> None:
    with pytest.raises(TumaError, match="message_id: is no id"):
        stage_of(provider).do("status", message_id="../balance")
    assert sandbox.ledger()["requests"] == {}


@pytest.mark.parametrize("provider", sorted(PROVIDERS))
def test_what_the_provider_does_not_know_is_said_to_be_so_without_repeating_it(
    stage_of: Callable[..., Stage], provider: str
) -> None:
    with pytest.raises(NotDone, match="the provider does not know it") as missing:
        stage_of(provider).do("status", message_id="nothing-like-it")
    assert missing.value.not_found
    assert "nothing-like-it" not in str(missing.value)


def consume(found: object) -> None:
    """Read all pages of what comes in pages."""
    if not is_dataclass(found):
        assert all(isinstance(page, Page) for page in found)  # type: ignore[attr-defined] # pages, then
