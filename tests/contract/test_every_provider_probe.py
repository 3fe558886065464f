"""Asking a provider whether a halted account may go on, against the sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr
from tests.contract.conftest import LINESERVE_KEY, LISOLOO_KEY

from tuma_worker.core.answers import Fault, Health, what_is_left
from tuma_worker.providers import PROVIDERS
from tuma_worker.providers.base import Call
from tuma_worker.providers.http import Http
from tuma_worker.providers.operations import Refusal, Request
from tuma_worker.settings import Account

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.contract.conftest import Sandbox

    from tuma_worker.providers.base import Client

PLACES = {"lisoloo": ("/lisoloo", LISOLOO_KEY), "lineserve": ("/lineserve/v1", LINESERVE_KEY)}
TOLD = [(name, fault) for name, provider in sorted(PROVIDERS.items()) for fault in Fault if fault in provider.defaults.tells]
UNTOLD = [(name, fault) for name, provider in sorted(PROVIDERS.items()) for fault in Fault if fault not in provider.defaults.tells]


@pytest.fixture
def client_of(sandbox: Sandbox) -> Iterator[Callable[..., Client]]:
    with Http(2) as http:

        def make(name: str, **more: Any) -> Client:  # noqa: ANN401 - fields of what is made
            path, key = PLACES[name]
            plain: dict[str, Any] = {
                "base_url": sandbox.url + path,
                "api_key": SecretStr(key),
                "environment": "sandbox",
                "timeout": 5,
            }
            return PROVIDERS[name].client(Account(provider=name, **plain | more), http)

        yield make


@pytest.mark.parametrize(("name", "fault"), TOLD)
def test_a_healthy_account_may_go_on_and_nothing_was_sent(
    sandbox: Sandbox, client_of: Callable[..., Client], name: str, fault: Fault
) -> None:
    assert client_of(name).probe(fault).works
    ledger = sandbox.ledger()
    assert ledger["accepted"] == []
    assert sum(sum(statuses.values()) for statuses in ledger["requests"][name].values()) == 1


@pytest.mark.parametrize(("name", "fault"), TOLD)
@pytest.mark.parametrize("state", ["suspended", "revoked"])
def test_an_account_whose_key_is_refused_may_not(
    sandbox: Sandbox, client_of: Callable[..., Client], name: str, fault: Fault, state: str
) -> None:
    sandbox.config(**{name: {"keys": {PLACES[name][1]: {"label": "main", "state": state}}}})
    health = client_of(name).probe(fault)
    assert not health.works
    assert health.code
    assert not health.operator


@pytest.mark.parametrize(("name", "fault"), TOLD)
def test_a_provider_that_cannot_be_reached_says_nothing_good(client_of: Callable[..., Client], name: str, fault: Fault) -> None:
    client = client_of(name, base_url="http://127.0.0.1:9")
    assert client.probe(fault) == Health(works=False, code="connect-error")


@pytest.mark.parametrize(("name", "fault"), UNTOLD)
def test_what_the_provider_cannot_tell_is_not_asked(
    sandbox: Sandbox, client_of: Callable[..., Client], name: str, fault: Fault
) -> None:
    assert not client_of(name).probe(fault).works
    assert name not in sandbox.ledger()["requests"]


@pytest.mark.parametrize(("balance", "works"), [(0, False), (0.019, False), (0.02, True)])
def test_lisoloo_has_money_when_it_pays_for_one_segment(
    sandbox: Sandbox, client_of: Callable[..., Client], *, balance: float, works: bool
) -> None:
    sandbox.config(lisoloo={"balance": balance, "unit_price": 0.02})
    assert client_of("lisoloo").probe(Fault.MONEY).works is works


def test_lisoloos_suspension_for_suspicious_activity_is_not_asked_about_again(
    sandbox: Sandbox, client_of: Callable[..., Client]
) -> None:
    sandbox.config(lisoloo={"suspicious_after": 1, "limits": {"send": [{"count": 1, "seconds": 60}]}})
    for _ in range(2):
        sandbox.lisoloo("POST", "/send", {"to": ["+243990000001"], "message": "hello", "sender_id": "KITOKO"})
    found = client_of("lisoloo").probe(Fault.MONEY)
    assert found == Health(works=False, code="1302", operator=True, fault=Fault.SUSPENDED)


def test_what_lineserves_answers_say_is_left_is_told_whatever_they_are_about(
    sandbox: Sandbox, client_of: Callable[..., Client]
) -> None:
    client = client_of("lineserve")
    sandbox.config(lineserve={"limits": {"requests": [{"count": 10, "seconds": 3600}]}})
    probed = client.probe(Fault.KEY).quotas
    traced = client.trace(Call(["+254711000001"], "hello", "KITOKO", "batch-1"), 0.0).quotas
    rejected = client.send(Call(["+254711999909"], "hello", "KITOKO", "batch-1")).quotas
    account = Account(provider="lineserve", base_url=f"{sandbox.url}/lineserve/v1", api_key=SecretStr(LINESERVE_KEY))
    with Http(1) as http:
        unknown = PROVIDERS["lineserve"].caller(account, http).call(Request("GET", "/sms/status/nobody", "send"))
    assert isinstance(unknown, Refusal)
    told = [what_is_left(one)["calls-3600s"] for one in (probed, traced, rejected, unknown.quotas)]
    assert told == [9, 8, 7, 6]
